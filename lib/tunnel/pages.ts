/** The few pages that the hub itself answers with on a tunnel's address. They need no script of the hub and share nothing with it. */

/** As the hub's own pages look; they share no file with these. */
const style =
  `:root{color-scheme:light dark;--bg:#f5f6f2;--surface:#fff;--line:#7f887b;--ink:#181d19;--quiet:#5d665d;--accent:#17644a;
--on:#fff;--danger:#a8241c;font:16px/1.5 system-ui,sans-serif;background:var(--bg);color:var(--ink)}
@media(prefers-color-scheme:dark){:root{--bg:#101412;--surface:#181d1a;--line:#76827a;--ink:#e6eae5;--quiet:#929c93;--accent:#6cc49c;
--on:#04241a;--danger:#f58e85}}
body{display:grid;place-items:center;min-height:90vh;margin:0;padding:1.5rem}
main{width:100%;max-width:24rem;overflow-wrap:anywhere}h1{font-size:1.25rem;line-height:1.3;margin:0 0 .5rem}
p{margin:0 0 .75rem;color:var(--quiet)}p::first-letter{text-transform:uppercase}p.wrong{color:var(--danger)}
a{color:var(--accent);text-underline-offset:2px}
form{display:grid;gap:.5rem;margin-top:1.25rem}label{font-size:.875rem;font-weight:600}
input,button{box-sizing:border-box;width:100%;min-height:44px;padding:.5rem .75rem;border:1px solid var(--line);border-radius:7px;
font:inherit;background:var(--surface);color:inherit}
button{margin-top:.5rem;border-color:var(--accent);background:var(--accent);color:var(--on);font-weight:500;cursor:pointer}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}[hidden]{display:none}`;

/** Nothing of a page may be cached, framed by strangers or told to other sites. */
const headers: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-type": "text/html; charset=utf-8",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** A page of a heading and a sentence. */
export function plainPage(status: number, title: string, text: string, retryAfterS?: number): Response {
  const body = page(title, `<h1>${escaped(title)}</h1><p>${escaped(text)}</p>`);
  return new Response(body, {
    status,
    headers: {
      ...headers,
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
      ...(retryAfterS === undefined ? {} : { "retry-after": String(retryAfterS) }),
    },
  });
}

/** Asks somebody without admission to come through the hub. */
export function strangerPage(hubUrl: string): Response {
  const body = page(
    "Open this from Perch",
    `<h1>Open this from Perch</h1><p>This browser is not admitted here, or no longer.</p>
<p><a href="${escaped(hubUrl)}" rel="noreferrer">Go in as its owner</a>, or open your share link again.</p>`,
  );
  return new Response(body, {
    status: 401,
    headers: { ...headers, "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'" },
  });
}

/**
 * The script of the entry page: trades the secret in the fragment, which no server and no referrer saw, for a cookie. Another link
 * that is opened in the same tab differs in the fragment alone, for which browsers load nothing.
 */
const entryScript = `
const title=document.querySelector("h1"),status=document.querySelector("#status"),again=document.querySelector("#again"),form=document.querySelector("form"),field=document.querySelector("input");
const fragment=new URLSearchParams(location.hash.slice(1));
const secret={};
for(const name of["ticket","share"])if(fragment.has(name))secret[name]=fragment.get(name);
const wanted=new URL("/",location.origin);
try{wanted.href=new URL(fragment.get("next")??"/",location.origin).href}catch{}
const next=wanted.origin===location.origin?wanted.href:"/";
history.replaceState(null,"",location.pathname);
async function enter(){
  title.textContent="Opening…";
  status.textContent="";
  status.className="";
  again.hidden=true;
  try{
    const answer=await fetch(location.pathname,{method:"POST",headers:{"content-type":"application/json","x-perch-framed":self===top?"0":"1"},
      body:JSON.stringify({...secret,...(field.value===""?{}:{password:field.value})})});
    if(answer.ok){location.replace(next);return}
    const {error}=await answer.json();
    form.hidden=!error.needsPassword;
    title.textContent=error.needsPassword?"This link has a password":"This cannot be opened";
    const isFirst=error.needsPassword&&field.value==="";
    status.textContent=isFirst?"Whoever gave you the link knows it.":error.message;
    status.className=isFirst?"":"wrong";
    if(error.needsPassword)field.select();
  }catch{title.textContent="The hub cannot be reached";status.textContent="";again.hidden=false}
}
addEventListener("hashchange",()=>location.reload());
again.addEventListener("click",()=>enter());
form.addEventListener("submit",(event)=>{event.preventDefault();enter()});
enter();
`;

/** The page at `/__perch/enter`. */
export async function entryPage(): Promise<Response> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(entryScript)));
  const hash = btoa(String.fromCharCode(...digest));
  const body = page(
    "Perch tunnel",
    `<h1>Opening…</h1><p id="status" role="status"></p><form hidden><label for="password">Password of this link</label>
<input id="password" type="password" autocomplete="off" maxlength="256"><button>Open</button></form>
<button id="again" type="button" hidden>Try again</button>`,
    entryScript,
  );
  const policy =
    `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'`;
  return new Response(body, { headers: { ...headers, "content-security-policy": policy } });
}

function page(title: string, content: string, script?: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>${escaped(title)}</title>
<style>${style}</style><main>${content}</main>${script === undefined ? "" : `<script>${script}</script>`}</html>`;
}

function escaped(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replaceAll(/[&<>"']/g, (character) => entities[character]!);
}
