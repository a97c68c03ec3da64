import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { incompleteBeta, inverseIncompleteBeta } from "./incomplete-beta.js";

describe("quantiles equal scipy.stats.beta.ppf", () => {
  test.each([
    [1e-9, 0.6, 0.6, 1.85588246249141e-15],
    [0.001, 0.6, 0.6, 1.855873851745199e-5],
    [0.041666666666666664, 0.6, 0.6, 0.009272318295366627],
    [0.25, 0.6, 0.6, 0.17568037865269498],
    [0.5, 0.6, 0.6, 0.5000000000000001],
    [0.75, 0.6, 0.6, 0.824319621347305],
    [0.9583333333333334, 0.6, 0.6, 0.9907276817046334],
    [0.999, 0.6, 0.6, 0.9999814412614826],
    [0.999999999, 0.6, 0.6, 0.9999999999999981],
    [1e-9, 2, 5, 8.165054699768939e-6],
    [0.001, 2, 5, 0.008255492787746678],
    [0.041666666666666664, 2, 5, 0.0569101935637763],
    [0.25, 2, 5, 0.16116291679032652],
    [0.5, 2, 5, 0.26444998329566005],
    [0.75, 2, 5, 0.3894794852007245],
    [0.9583333333333334, 2, 5, 0.5984761354391208],
    [0.999, 2, 5, 0.818613866919134],
    [0.999999999, 2, 5, 0.9889037391360324],
    [1e-9, 0.3, 1.7, 5.0664653420736745e-31],
    [0.001, 0.3, 1.7, 5.0664653422119e-11],
    [0.041666666666666664, 0.3, 1.7, 1.2705855396452536e-5],
    [0.25, 0.3, 1.7, 0.005000446286503567],
    [0.5, 0.3, 1.7, 0.051697104839436736],
    [0.75, 0.3, 1.7, 0.21957772657230776],
    [0.9583333333333334, 0.3, 1.7, 0.6580199271285917],
    [0.999, 0.3, 1.7, 0.9581663118887047],
    [0.999999999, 0.3, 1.7, 0.9999875001733278],
  ])("p = %d of Beta(%d, %d) is %d", (p, a, b, x) => {
    expect(Math.abs(inverseIncompleteBeta(p, a, b) - x)).toBeLessThanOrEqual(1e-12);
  });
});

describe("closed forms", () => {
  const unit = fc.double({ min: 0, max: 1, noNaN: true });
  const shape = fc.double({ min: 0.2, max: 8, noNaN: true });

  test("Beta(1, b) has the distribution 1 - (1 - x)^b", () => {
    fc.assert(
      fc.property(unit, shape, (x, b) => {
        expect(Math.abs(incompleteBeta(x, 1, b) - (1 - (1 - x) ** b))).toBeLessThan(1e-13);
      }),
      { seed: 1 },
    );
  });

  test("a quantile of a probability has that probability", () => {
    fc.assert(
      fc.property(unit, shape, shape, (p, a, b) => {
        const x = inverseIncompleteBeta(p, a, b);
        // Where the density is steep, a quantile cannot be told apart from its neighbour.
        const [below, above] = [x * (1 - 1e-12) - 1e-16, x * (1 + 1e-12) + 1e-16];
        expect(incompleteBeta(below, a, b) - 1e-12).toBeLessThanOrEqual(p);
        expect(incompleteBeta(above, a, b) + 1e-12).toBeGreaterThanOrEqual(p);
      }),
      { seed: 2 },
    );
  });

  test.each([0, 1])("the quantile of %d is itself", (p) => {
    expect(inverseIncompleteBeta(p, 0.6, 0.6)).toBe(p);
  });
});
