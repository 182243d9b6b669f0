/**
 * A tiny bank: two pages for its customers, and behind them the appliance.
 *
 * The page never talks to the appliance. The bank knows who is logged in, asks the
 * appliance, and believes nothing that a page says about a payment but its number.
 */
import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { extname } from "node:path";
import { answer, connect, Refused } from "../../clients/typescript/dist/src/index.js";

const KINDS = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const PAGES = ["index.html", "approve.html", "bank.js", "approve.js", "passkey.js", "style.css"];
const SAFETY = {
  "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

/** Starts it; resolves to its port, the digest of its key, and what it has seen. */
export async function open(dev) {
  const appliance = connect({ url: dev.url, ca: dev.ca, ...dev.bank });
  const bank = { appliance, sessions: new Map(), names: new Map(), payments: new Map(), artefacts: [] };
  // Any key will do here: the browser is told to trust exactly this one.
  const cert = readFileSync(dev.bank.cert);
  const server = createServer({ cert, key: readFileSync(dev.bank.key) }, (request, reply) => {
    serve(bank, request).catch(refusal).then(({ status = 200, headers = {}, body }) => {
      reply.writeHead(status, { ...SAFETY, ...headers }).end(body);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const spki = new X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
  return {
    ...bank,
    port: server.address().port,
    spki: createHash("sha256").update(spki).digest("base64"),
    close: () => server.close(),
  };
}

/** A refusal of the appliance in the bank's own words; the code helps its developers. */
function refusal(error) {
  if (!(error instanceof Refused)) console.error(error);
  const code = error instanceof Refused ? error.problem.code : "internal";
  const status = error instanceof Refused ? error.problem.status : 500;
  return json({ code }, status);
}

function json(value, status = 200, headers = {}) {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(value) };
}

async function serve(bank, request) {
  const { pathname } = new URL(request.url, "https://bank.example");
  if (request.method === "GET" && !pathname.startsWith("/bank/")) return page(request, pathname);
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const said = chunks.length ? JSON.parse(Buffer.concat(chunks)) : {};
  const session = /(?:^|; )session=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1];
  const user_id = bank.sessions.get(session);
  const [, , what, id, step] = pathname.split("/");
  const asked = `${request.method} ${what}${step ? `/${step}` : ""}`;
  const call = CALLS[what === "payments" ? asked : `${request.method} ${what}/${id}`];
  if (!call) return json({ code: "unknown" }, 404);
  if (what === "payments" && !user_id) return json({ code: "log_in_first" }, 401);
  return call(bank, said, user_id, id);
}

/** The approval page has an origin of its own; both are served from here. */
function page(request, pathname) {
  const approving = request.headers.host?.startsWith("approve.");
  const name = pathname === "/" ? (approving ? "approve.html" : "index.html") : pathname.slice(1);
  if (!PAGES.includes(name)) return { status: 404, body: "" };
  const headers = { "content-type": `${KINDS[extname(name)]}; charset=utf-8` };
  return { headers, body: readFileSync(new URL(`page/${name}`, import.meta.url)) };
}

/** The bank's customer number; the name is the customer's own affair. */
function customer(name) {
  return `customer-${createHash("sha256").update(name).digest("hex").slice(0, 16)}`;
}

/** Whose login it is to be; of no name, whoever's passkey answers. */
function named(name) {
  return name === undefined ? {} : { user_id: customer(name) };
}

const CALLS = {
  "POST register/options": async ({ appliance }, { name }) => {
    const body = { user_id: customer(name), user_name: name, display_name: name };
    return json(await answer(appliance.POST("/api/v1/passkeys/register/options", { body })));
  },
  "POST register/verify": async ({ appliance, names }, { name, credential }) => {
    const body = { user_id: customer(name), ...credential };
    await answer(appliance.POST("/api/v1/passkeys/register/verify", { body }));
    names.set(customer(name), name);
    return json({});
  },
  "POST login/options": async ({ appliance }, { name }) => {
    const body = named(name);
    return json(await answer(appliance.POST("/api/v1/passkeys/authenticate/options", { body })));
  },
  "POST login/verify": async ({ appliance, sessions, names }, { name, credential }) => {
    const body = { ...named(name), ...credential };
    const { user_id } = await answer(appliance.POST("/api/v1/passkeys/authenticate/verify", { body }));
    const session = randomBytes(32).toString("base64url");
    sessions.set(session, user_id);
    const cookie = `session=${session}; Domain=bank.example; Secure; HttpOnly; SameSite=Lax; Path=/`;
    return json({ name: names.get(user_id) }, 200, { "set-cookie": cookie });
  },
  "POST payments": async ({ appliance, payments }, { transaction }, user_id) => {
    const body = { user_id, transaction };
    const pending = await answer(appliance.POST("/api/v1/approvals", { body }));
    payments.set(pending.approval_id, { user_id, ...pending });
    return json({ id: pending.approval_id });
  },
  "GET payments": async ({ payments }, _, user_id, id) => {
    const payment = payments.get(id);
    if (payment?.user_id !== user_id) return json({ code: "unknown" }, 404);
    return json({ transaction: payment.transaction, options: payment.options });
  },
  "POST payments/verify": async ({ appliance, artefacts }, { credential }, user_id, id) => {
    const body = { user_id, ...credential };
    const given = await answer(appliance.POST("/api/v1/approvals/{id}/verify", { params: { path: { id } }, body }));
    artefacts.push(given.artefact);
    return json({ receipt_id: JSON.parse(given.receipt.claims).receipt_id });
  },
};
