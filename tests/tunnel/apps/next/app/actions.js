"use server";
import { cookies } from "next/headers";

export async function saveName(form) {
  (await cookies()).set("name", String(form.get("name")));
}
