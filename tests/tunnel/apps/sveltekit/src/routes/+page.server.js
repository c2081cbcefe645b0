/** The name is in a cookie that the app sets; what cookies come is shown. */
export function load({ cookies }) {
  return { name: cookies.get("name") ?? "nobody", cookies: cookies.getAll().map(({ name }) => name).sort() };
}

export const actions = {
  default: async ({ request, cookies }) => {
    const form = await request.formData();
    cookies.set("name", String(form.get("name")), { path: "/" });
  },
};
