/** A local port forwarded by OpenSSH (`ssh -L`), through an sshd that is started for it on loopback with keys of its own. */
import { join } from "node:path";
import { Child } from "../../tests/support/child.ts";
import { eventually } from "../../tests/support/patience.ts";

/** Where sshd is that is not on PATH: it wants to be started by its full path. */
const SBIN = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin", "/usr/bin"];
/** Where an sshd of root wants an empty folder to be. */
const PRIVILEGE_FOLDER = "/run/sshd";

export interface SshForward extends AsyncDisposable {
  /** What is sent to this port goes through SSH to the port that was asked for. */
  port: number;
}

/** Forwards a new loopback port to `port`. A string says why that cannot be done here. */
export async function forwardBySsh(port: number): Promise<SshForward | string> {
  const programs = ["sshd", "ssh", "ssh-keygen"].map((name) => ({ name, path: find(name) }));
  const missing = programs.find(({ path }) => path === null);
  if (missing !== undefined) return `there is no ${missing.name} on this machine`;
  const [sshd, ssh, keygen] = programs.map(({ path }) => path!) as [string, string, string];
  const dir = await Deno.makeTempDir({ prefix: "perch-ssh-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  if (Deno.uid() === 0 && !await exists(PRIVILEGE_FOLDER)) {
    await Deno.mkdir(PRIVILEGE_FOLDER, { mode: 0o755 });
    stack.defer(() => Deno.remove(PRIVILEGE_FOLDER));
  }
  for (const name of ["host_key", "user_key"]) {
    const { success, stderr } = await new Deno.Command(keygen, {
      args: ["-q", "-t", "ed25519", "-N", "", "-f", join(dir, name)],
      stdin: "null",
    }).output();
    if (!success) return `ssh-keygen failed: ${new TextDecoder().decode(stderr).trim()}`;
  }
  await Deno.copyFile(join(dir, "user_key.pub"), join(dir, "authorized_keys"));
  const [sshPort, forwardedPort] = freePorts();
  const config = {
    ListenAddress: `127.0.0.1:${sshPort}`,
    HostKey: join(dir, "host_key"),
    AuthorizedKeysFile: join(dir, "authorized_keys"),
    PidFile: "none",
    StrictModes: "no",
    UsePAM: "no",
    PasswordAuthentication: "no",
    PermitRootLogin: "yes",
    AllowTcpForwarding: "local",
  };
  const configPath = join(dir, "sshd_config");
  await Deno.writeTextFile(configPath, Object.entries(config).map((line) => `${line.join(" ")}\n`).join(""));
  const logPath = join(dir, "log");
  stack.use(new Child({ program: sshd, args: ["-D", "-e", "-f", configPath], logPath }));
  const started = await opens(sshPort);
  if (!started) return `the sshd did not start: ${await lastLine(logPath)}`;
  const options = {
    StrictHostKeyChecking: "no",
    UserKnownHostsFile: "/dev/null",
    BatchMode: "yes",
    ExitOnForwardFailure: "yes",
    IdentitiesOnly: "yes",
  };
  stack.use(
    new Child({
      program: ssh,
      args: [
        ...["-F", "/dev/null", "-N", "-i", join(dir, "user_key"), "-p", String(sshPort)],
        ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
        ...["-L", `127.0.0.1:${forwardedPort}:127.0.0.1:${port}`, "127.0.0.1"],
      ],
      logPath,
    }),
  );
  if (!await opens(forwardedPort)) return `the sshd forwards nothing: ${await lastLine(logPath)}`;
  const kept = stack.move();
  return { port: forwardedPort, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function find(program: string): string | null {
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), ...SBIN];
  for (const folder of folders) {
    const path = join(folder, program);
    try {
      if (folder !== "" && Deno.statSync(path).isFile) return path;
    } catch {
      // Not there.
    }
  }
  return null;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

function freePorts(): [number, number] {
  using one = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return [one.addr.port, other.addr.port];
}

/** Whether something comes to listen there. */
async function opens(port: number): Promise<boolean> {
  const look = async () => {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return true;
    } catch {
      return false;
    }
  };
  return await eventually(look, `a listener on port ${port}`).catch(() => false);
}

async function lastLine(path: string): Promise<string> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return text.trim().split("\n").at(-1) ?? "";
}
