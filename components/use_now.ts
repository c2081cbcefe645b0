import { useEffect, useState } from "preact/hooks";

/** The time, renewed every half minute: for "3 min ago". 0 until the page runs in the browser, so that hydration matches. */
export function useNow(): number {
  const [now, setNow] = useState(0);
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 30_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
