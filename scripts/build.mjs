// `npm run build`: installs where needed, then compiles to dist.
import { build, install } from "./prepare.mjs";

install();
build();
