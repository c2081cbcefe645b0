/** The icon set: 16 × 16, drawn with the text's colour. Decorative: each stands beside a word or inside a labelled control. */
import type { JSX } from "preact";

const paths = {
  back: "M10 3 5 8l5 5",
  check: "M3 8.5 6.5 12 13 4.5",
  chevron: "M6 4l4 4-4 4",
  close: "M4 4l8 8M12 4l-8 8",
  copy: "M5.5 5.5h7v8h-7zM3.5 10.5v-8h7",
  down: "M8 3v10M4 9l4 4 4-4",
  edit: "M10.5 3.5l2 2-7 7H3.5v-2zM9 5l2 2",
  execute: "M3 4.5 6.5 8 3 11.5M8 12h5",
  fetch: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM2.5 8h11M8 2.5c-4 4-4 7 0 11 4-4 4-7 0-11",
  folder: "M2.5 12.5v-9h4l1.5 2h5.5v7z",
  hand: "M8 2.2 14 13H2zM8 6.5v3M8 11.2v.3",
  image: "M2.5 3.5h11v9h-11zM2.5 11l3.5-3.5 3 3 1.5-1.5 3 3M10.5 6v.01",
  link: "M6.5 9.5l3-3M7 5l1.5-1.5a2.5 2.5 0 0 1 4 4L11 9M5 7 3.5 8.5a2.5 2.5 0 0 0 4 4L9 11",
  machine: "M2.5 3.5h11v7h-11zM6 13h4M8 10.5V13",
  menu: "M8 3.5v.01M8 8v.01M8 12.5v.01",
  move: "M2.5 8h10M9 4.5 12.5 8 9 11.5",
  open: "M9.5 2.5h4v4M13.500 2.500 8 8M11.500 9.500v4h-9v-9h4",
  other: "M8 2.5l1.5 4 4 1.5-4 1.5-1.5 4-1.5-4-4-1.5 4-1.5z",
  plan: "M3 4.5h.01M3 8h.01M3 11.5h.01M6 4.5h7M6 8h7M6 11.5h7",
  plus: "M8 3v10M3 8h10",
  read: "M4 2.5h5l3 3v8H4zM6.5 7.5h3M6.5 10h3",
  reload: "M13 8a5 5 0 1 1-1.500-3.600M13 2.500v3h-3",
  search: "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.5 3.5",
  send: "M8 13V3M4 7l4-4 4 4",
  settings:
    "M2.5 5h6M12 5h1.5M2.5 11H4M7.5 11h6M10.2 3.3a1.7 1.7 0 1 0 0 3.4 1.7 1.7 0 0 0 0-3.4zM5.8 9.3a1.7 1.7 0 1 0 0 3.4 1.7 1.7 0 0 0 0-3.4z",
  stop: "M4.5 4.5h7v7h-7z",
  terminal: "M2.5 3.5h11v9h-11zM5 6.5 7 8.5l-2 2M8.5 10.5h3",
  think: "M8 2.5a4 4 0 0 0-2.3 7.3V11h4.6V9.8A4 4 0 0 0 8 2.5zM6.5 13.5h3",
  trash: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.5 9h6l.5-9",
  user: "M8 3a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM3 13.5c.5-3 2.5-4 5-4s4.5 1 5 4",
  warning: "M8 2.5 14 13H2zM8 6.5v3M8 11.2v.01",
} as const;
export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

/** The icon of an ACP tool kind. */
export function toolIcon(kind: string | undefined): IconName {
  switch (kind) {
    case "read":
    case "edit":
    case "move":
    case "search":
    case "execute":
    case "think":
    case "fetch":
      return kind;
    case "delete":
      return "trash";
    default:
      return "other";
  }
}

/** Perch's mark: the fish, facing the current. */
export function Mark({ size = 24 }: { size?: number }): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" width={size} height={size} aria-hidden="true" focusable="false">
      <path
        class="mark-body"
        d="M2.5 16.5C6 10.5 11.5 8 17 8c3.6 0 6.3 1.6 8.3 4.2L30 9.5c-.9 2.2-1.3 4.4-1.3 6.6 0 2.4.4 4.6 1.3 6.9l-4.9-2.7C23 22.7 20.400 24.500 17 24.500c-5.600 0-11-2.300-14.500-8z"
      />
      <path
        class="mark-fin"
        d="M12 8.600c1.800-3 4.400-4.600 8-5.100.2 2 .9 3.700 2.100 5.700C17.800 7.600 15 7.600 12 8.600z"
      />
      <path
        class="mark-stripe"
        d="M13.500 11.500c1.200 3 1.200 6 0 9M17.500 10.900c1.400 3.500 1.400 7 0 10.400M21.300 12c1.100 2.700 1.100 5.400 0 8.200"
      />
      <circle class="mark-eye" cx="8.300" cy="15" r="1.300" />
    </svg>
  );
}
