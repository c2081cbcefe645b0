import { asset } from "fresh/runtime";
import { define } from "@/utils.ts";

/** The document around every page. */
export default define.page(function App({ Component }) {
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta
          name="viewport"
          content="width=device-width, initial-scale=1, viewport-fit=cover, interactive-widget=resizes-content"
        />
        <meta name="color-scheme" content="light dark" />
        <meta name="theme-color" content="#f5f6f2" media="(prefers-color-scheme: light)" />
        <meta name="theme-color" content="#101412" media="(prefers-color-scheme: dark)" />
        <meta name="robots" content="noindex" />
        <meta name="apple-mobile-web-app-capable" content="yes" />
        <meta name="apple-mobile-web-app-title" content="Perch" />
        <title>Perch</title>
        <link rel="stylesheet" href={asset("/styles.css")} />
        <link rel="icon" href={asset("/favicon.svg")} type="image/svg+xml" />
        <link rel="icon" href={asset("/icon-32.png")} type="image/png" sizes="32x32" />
        <link rel="apple-touch-icon" href={asset("/icon-180.png")} />
        <link rel="manifest" href={asset("/manifest.webmanifest")} />
      </head>
      <body>
        <Component />
      </body>
    </html>
  );
});
