/**
 * Makes a run from source look like a compiled binary to the program: `Deno.build.standalone`, and an execPath that is the program
 * itself (PERCH_STAND_IN). With it the paths of self_command.ts for the compiled case run where no binary can be made.
 */
const program = Deno.env.get("PERCH_STAND_IN");
if (program === undefined) throw new Error("PERCH_STAND_IN must name the program");
Object.defineProperty(Deno, "build", { value: { ...Deno.build, standalone: true } });
Object.defineProperty(Deno, "execPath", { value: () => program });
