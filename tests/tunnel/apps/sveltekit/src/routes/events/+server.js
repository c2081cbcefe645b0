/** Sends an event whenever the page has said that it has the one before, so that no two can come together. */
let acknowledged = () => {};

export function GET() {
  const encoder = new TextEncoder();
  let number = 0;
  const body = new ReadableStream({
    start(controller) {
      acknowledged = () => {
        number++;
        controller.enqueue(encoder.encode(`data: event ${number}\n\n`));
      };
      acknowledged();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

export function POST() {
  acknowledged();
  return new Response(null, { status: 204 });
}
