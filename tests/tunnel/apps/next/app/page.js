import { cookies } from "next/headers";
import Image from "next/image";
import { saveName } from "./actions";
import bundled from "./bundled.png";

/** The name is in a cookie that the app sets; what cookies come is shown. */
export default async function Home() {
  const all = (await cookies()).getAll();
  return (
    <>
      <h1>{`Hello ${all.find(({ name }) => name === "name")?.value ?? "nobody"}`}</h1>
      <p id="cookies">{all.map(({ name }) => name).sort().join(" ")}</p>
      <img src="/picture.png" alt="from the root" />
      <Image src={bundled} alt="from the bundle" priority />
      <form action={saveName}>
        <label>
          Name <input name="name" />
        </label>
        <button>Save</button>
      </form>
    </>
  );
}
