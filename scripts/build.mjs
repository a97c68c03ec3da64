// `npm run build`: installs if needed, then builds dist/.
import { build, prepare } from "./prepare.mjs";

try {
  prepare();
  build();
} catch (error) {
  process.stderr.write(`renderfarm: ${error.message}\n`);
  process.exitCode = 1;
}
