/** How the console is built: into dist/console, from where the coordinator serves it. */
import { preact } from "@preact/preset-vite";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [preact()],
  build: {
    outDir: "../dist/console",
    emptyOutDir: true,
    target: "es2022",
    // The page's security policy allows no data: URL in a style or script.
    assetsInlineLimit: 0,
    // The charts are a file of their own, loaded with the view that shows them.
    chunkSizeWarningLimit: 700,
  },
});
