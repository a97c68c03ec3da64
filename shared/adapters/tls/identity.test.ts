import { describe, expect, test } from "vitest";
import { type Identity, identityUri, readIdentity } from "./identity.js";

const IDENTITIES: [uri: string, identity: Identity][] = [
  ["spiffe://farm/coordinator", { farm: "farm", role: "coordinator", name: "" }],
  ["spiffe://farm/node/gpu-1", { farm: "farm", role: "node", name: "gpu-1" }],
  ["spiffe://farm/user/alice", { farm: "farm", role: "user", name: "alice" }],
];

test.each(IDENTITIES)("%s is written and read", (uri, identity) => {
  expect(identityUri(identity)).toBe(uri);
  expect(readIdentity(`URI:${uri}`)).toEqual(identity);
  expect(readIdentity(`DNS:localhost, URI:${uri}, IP Address:127.0.0.1`)).toEqual(identity);
});

describe("nobody of a farm is", () => {
  test.each([
    undefined,
    "",
    "DNS:localhost",
    "DNS:spiffe://farm/node/a",
    "URI:https://farm/node/a",
    "URI:spiffe://farm",
    "URI:spiffe://farm/node",
    "URI:spiffe://farm/node/",
    "URI:spiffe://farm/node/A",
    "URI:spiffe://farm/node/a/b",
    "URI:spiffe://farm/node/../user/a",
    "URI:spiffe://farm/admin/a",
    "URI:spiffe://farm/coordinator/a",
    // Two of them: which one would count?
    "URI:spiffe://farm/node/a, URI:spiffe://farm/node/b",
    // How Node writes a name that holds a comma, so that it looks like two.
    'DNS:"x, URI:spiffe://farm/node/a"',
    'URI:"spiffe://farm/node/a, y"',
  ])("%s", (subjectAltName) => {
    expect(readIdentity(subjectAltName)).toBeNull();
  });
});
