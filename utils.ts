import { createDefine } from "fresh";
import type { State } from "@/lib/state.ts";

/** Typed helpers of this app's routes. */
export const define = createDefine<State>();
