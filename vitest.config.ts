import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: [
      "shared/**/*.test.ts",
      "coordinator/**/*.test.ts",
      "gpu-node/**/*.test.ts",
      "engine/**/*.test.ts",
      "client/**/*.test.ts",
      "cli/**/*.test.ts",
      "test/**/*.test.ts",
    ],
    // Native addons (onnxruntime, sharp) dislike worker threads.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    // Hooks start farms; on a loaded machine that takes longer than vitest's 10 s.
    hookTimeout: 120_000,
  },
});
