/** @file Starts the console. */
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/layout.css";
import "./styles/submit.css";
import "./styles/queue.css";
import "./styles/gallery.css";
import "./styles/farm.css";
import "./styles/labels.css";
import { render } from "preact";
import { App } from "./app.js";
import { followFarm } from "./state/farm.js";
import { listWhileFiltering } from "./state/filter.js";
import { planWhileTyping } from "./state/submission.js";

const root = document.getElementById("app");
if (root) render(<App />, root);
followFarm();
listWhileFiltering();
planWhileTyping();
