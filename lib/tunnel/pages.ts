/** The few pages that the hub itself answers with on a tunnel's address. They need no script of the hub and share nothing with it. */

const style = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{display:grid;place-items:center;min-height:90vh;margin:0;padding:1rem}
main{max-width:30rem;text-align:center}h1{font-size:1.25rem}
input,button{font:inherit;padding:.6rem .8rem;border-radius:.5rem;border:1px solid GrayText;min-height:44px}
button{cursor:pointer}form{display:grid;gap:.75rem;margin-top:1.5rem}[hidden]{display:none}`;

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
const status=document.querySelector("#status"),form=document.querySelector("form"),field=document.querySelector("input");
const fragment=new URLSearchParams(location.hash.slice(1));
const secret={};
for(const name of["ticket","share"])if(fragment.has(name))secret[name]=fragment.get(name);
const wanted=new URL("/",location.origin);
try{wanted.href=new URL(fragment.get("next")??"/",location.origin).href}catch{}
const next=wanted.origin===location.origin?wanted.href:"/";
history.replaceState(null,"",location.pathname);
async function enter(){
  status.textContent="Opening…";
  try{
    const answer=await fetch(location.pathname,{method:"POST",headers:{"content-type":"application/json","x-perch-framed":self===top?"0":"1"},
      body:JSON.stringify({...secret,...(field.value===""?{}:{password:field.value})})});
    if(answer.ok){location.replace(next);return}
    const {error}=await answer.json();
    form.hidden=!error.needsPassword;
    status.textContent=error.message;
    if(error.needsPassword)field.focus();
  }catch{status.textContent="The hub cannot be reached; try again."}
}
addEventListener("hashchange",()=>location.reload());
form.addEventListener("submit",(event)=>{event.preventDefault();enter()});
enter();
`;

/** The page at `/__perch/enter`. */
export async function entryPage(): Promise<Response> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(entryScript)));
  const hash = btoa(String.fromCharCode(...digest));
  const body = page(
    "Perch tunnel",
    `<p id="status" role="status">Opening…</p><form hidden><label for="password">Password of this link</label>
<input id="password" type="password" autocomplete="off" maxlength="256"><button>Open</button></form>`,
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
