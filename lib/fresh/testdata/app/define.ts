import { createDefine } from "fresh";

export const define = createDefine<{ greeting: string }>();
