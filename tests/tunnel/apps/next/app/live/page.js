"use client";
import { useEffect, useState } from "react";

export default function Live() {
  const [events, setEvents] = useState([]);
  useEffect(() => {
    const source = new EventSource("/events");
    let count = 0;
    source.onmessage = ({ data }) => {
      setEvents((before) => [...before, data]);
      if (++count < 5) fetch("/events", { method: "POST" });
      else source.close();
    };
    return () => source.close();
  }, []);
  return (
    <>
      <h1>Live</h1>
      <ul>{events.map((event) => <li key={event}>{event}</li>)}</ul>
    </>
  );
}
