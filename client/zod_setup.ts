/** Imported first by every island: the pages' CSP forbids `eval`, which zod would otherwise probe for to compile its parsers. */
import { config } from "zod/mini";

config({ jitless: true });
