// `npm run build`: installs where needed, then compiles to dist.
import { build, prepare } from "./prepare.mjs";

prepare();
build();
