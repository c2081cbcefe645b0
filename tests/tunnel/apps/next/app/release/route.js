export function POST() {
  globalThis.release();
  return new Response(null, { status: 204 });
}
