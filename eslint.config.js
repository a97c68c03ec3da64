// Typed rules only: everything that needs no types is Biome's.
import tseslint from "typescript-eslint";

const pureFolders = [
  "coordinator/plan/**/*.ts",
  "gpu-node/agent/denoise-{machine,state}.ts",
  "gpu-node/diffusion/**/*.ts",
  "gpu-node/model/**/*.ts",
  "shared/core/**/*.ts",
  "shared/farm/**/*.ts",
  "shared/tensor/**/*.ts",
];

const typedRules = {
  plugins: { "@typescript-eslint": tseslint.plugin },
  rules: {
    "@typescript-eslint/no-floating-promises": "error",
    "@typescript-eslint/no-misused-promises": "error",
    "@typescript-eslint/switch-exhaustiveness-check": [
      "error",
      { considerDefaultExhaustiveForUnions: true },
    ],
    "@typescript-eslint/await-thenable": "error",
    "@typescript-eslint/only-throw-error": "error",
  },
};

export default tseslint.config(
  { ignores: ["dist/**", "proto/gen/**", "node_modules/**", "**/*.js", "**/*.mjs"] },
  {
    files: ["**/*.ts"],
    ignores: ["console/**"],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: "./tsconfig.json", tsconfigRootDir: import.meta.dirname },
    },
    ...typedRules,
  },
  {
    // The page is a project of its own: it has a browser's globals and no others.
    files: ["console/**/*.{ts,tsx}"],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: "./console/tsconfig.json", tsconfigRootDir: import.meta.dirname },
    },
    plugins: typedRules.plugins,
    rules: {
      ...typedRules.rules,
      // A handler of an event may be asynchronous: what it throws is shown by `attempt`.
      "@typescript-eslint/no-misused-promises": [
        "error",
        { checksVoidReturn: { attributes: false } },
      ],
    },
  },
  {
    // Pure folders: no clock, no randomness, no process, no I/O.
    files: pureFolders,
    ignores: ["**/*.test.ts"],
    rules: {
      "no-restricted-globals": [
        "error",
        ...["setTimeout", "setInterval", "setImmediate", "fetch", "process", "performance"].map(
          (name) => ({ name, message: "A pure folder takes time and I/O as arguments." }),
        ),
      ],
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now", message: "Time is an argument here." },
        { object: "Math", property: "random", message: "Randomness is an argument here." },
      ],
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { regex: "^node:(?!assert|buffer)", message: "A pure folder does no I/O." },
            {
              regex: "^(onnxruntime-node|@grpc|nats|minio|sharp|pino)",
              message: "No I/O libraries here.",
            },
          ],
        },
      ],
    },
  },
);
