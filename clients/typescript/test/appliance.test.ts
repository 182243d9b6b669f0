/** The client against a running appliance, named by `dev.json` (`REDOUBT_DEV`). */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { answer, connect, introspected, Refused, takeMetadata, type Redoubt } from "../src/index.js";
import { SoftwarePasskey } from "../src/software-passkey.js";

const dev = JSON.parse(readFileSync(process.env.REDOUBT_DEV!, "utf8"));
const folder = mkdtempSync(join(tmpdir(), "redoubt-client-"));
after(() => rmSync(folder, { recursive: true }));

const LOGIN = "https://bank.example";
const APPROVAL = "https://approve.bank.example";
const transaction = {
  amount: "250.00",
  currency: "EUR",
  payee: { name: "Northwind Tooling GmbH", account: "DE89370400440532013000" },
  reference: "Invoice 2026-117",
};

const bank = connect({ url: dev.url, ca: dev.ca, ...dev.bank });

async function registered(client: Redoubt) {
  const user_id = `customer-${randomBytes(6).toString("hex")}`;
  const options = await answer(client.POST("/api/v1/passkeys/register/options", { body: { user_id } }));
  const [passkey, created] = SoftwarePasskey.create(LOGIN, options);
  await answer(client.POST("/api/v1/passkeys/register/verify", { body: { user_id, ...created } }));
  return { user_id, passkey };
}

async function approved() {
  const { user_id, passkey } = await registered(bank);
  const pending = await answer(bank.POST("/api/v1/approvals", { body: { user_id, transaction } }));
  const body = { user_id, ...passkey.get(APPROVAL, pending.options!) };
  const params = { path: { id: pending.approval_id } };
  return { pending, given: await answer(bank.POST("/api/v1/approvals/{id}/verify", { params, body })) };
}

/** `redoubt-audit verify`, without a connection: what it says, or that it refuses. */
function verify(document: unknown): boolean {
  const file = join(folder, `${randomBytes(4).toString("hex")}.json`);
  writeFileSync(file, JSON.stringify(document));
  try {
    execFileSync("redoubt-audit", ["verify", "--artefact", file, "--trust", dev.trust_dir], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

function refusedWith(code: string) {
  return (error: unknown) => error instanceof Refused && error.problem.code === code;
}

test("a customer enrols and logs in", async () => {
  const { user_id, passkey } = await registered(bank);
  const options = await answer(bank.POST("/api/v1/passkeys/authenticate/options", { body: { user_id } }));
  const body = { user_id, ...passkey.get(LOGIN, options) };
  const login = await answer(bank.POST("/api/v1/passkeys/authenticate/verify", { body }));
  assert.equal(login.user_id, user_id);
  assert.ok(Date.parse(login.expires_at) > Date.now());
  const again = answer(bank.POST("/api/v1/passkeys/authenticate/verify", { body }));
  await assert.rejects(again, refusedWith("authentication_failed"));
});

test("a login that names nobody finds its customer", async () => {
  const { user_id, passkey } = await registered(bank);
  const options = await answer(bank.POST("/api/v1/passkeys/authenticate/options", { body: {} }));
  assert.deepEqual(options.allowCredentials, []);
  const body = passkey.get(LOGIN, options);
  const login = await answer(bank.POST("/api/v1/passkeys/authenticate/verify", { body }));
  assert.equal(login.user_id, user_id);
});

test("metadata goes in as it is", async () => {
  await assert.rejects(takeMetadata(bank, "a.b.c"), refusedWith("metadata_not_configured"));
});

test("a session is read, and ends when its device is suspended", async () => {
  const { user_id, passkey } = await registered(bank);
  const options = await answer(bank.POST("/api/v1/passkeys/authenticate/options", { body: { user_id } }));
  const body = { user_id, ...passkey.get(LOGIN, options) };
  const { session_token: token, device_id } = await answer(bank.POST("/api/v1/passkeys/authenticate/verify", { body }));
  const open = await introspected(bank, token);
  assert.ok(open.active && "sub" in open && open.sub === user_id);
  const params = { path: { user_id, device_id } };
  const state = { state: "suspended", reason: "The customer misses it" } as const;
  const set = await answer(bank.POST("/api/v1/subjects/{user_id}/devices/{device_id}/state", { params, body: state }));
  assert.equal(set.sessions_ended, 1);
  assert.deepEqual(await introspected(bank, token), { active: false });
});

test("an approval is followed to its end", async () => {
  const { pending } = await approved();
  const params = { path: { id: pending.approval_id } };
  const told = await answer(bank.GET("/api/v1/approvals/{id}/events", { params, parseAs: "text" }));
  assert.match(told, /^event: status\ndata: .*"status":"approved"/);
});

test("a name of nobody is answered like a customer", async () => {
  const user_id = `nobody-${randomBytes(6).toString("hex")}`;
  const options = await answer(bank.POST("/api/v1/passkeys/authenticate/options", { body: { user_id } }));
  assert.ok(options.allowCredentials?.length);
});

test("an approval and its receipt verify offline, and not with another amount", async () => {
  const { pending, given } = await approved();
  assert.equal(given.status, "approved");
  assert.ok(verify(given.artefact));
  const claims = JSON.parse((given.receipt as { claims: string }).claims);
  const params = { path: { id: claims.receipt_id } };
  const receipt = await answer(bank.GET("/api/v1/receipts/{id}", { params })) as { claims: string };
  assert.ok(verify(receipt));
  assert.deepEqual(JSON.parse(receipt.claims).transaction, pending.transaction);
  const richer = { ...receipt, claims: receipt.claims.replace("250.00", "950.00") };
  assert.notEqual(richer.claims, receipt.claims);
  assert.ok(!verify(richer));
});

test("refusals carry their code, their remedy and when to try again", async () => {
  const missing = { path: { id: "0".repeat(32) } };
  await assert.rejects(answer(bank.GET("/api/v1/approvals/{id}", { params: missing })), refusedWith("unknown_approval"));
  const reader = connect({ url: dev.url, ca: dev.ca, ...dev.bank_reader });
  const asked = answer(reader.POST("/api/v1/passkeys/register/options", { body: { user_id: "anna" } }));
  await assert.rejects(asked, refusedWith("role_not_allowed"));
  const nobody = connect({ url: dev.url, ca: dev.ca });
  const events = answer(nobody.GET("/api/v1/audit/events"));
  await assert.rejects(events, refusedWith("client_certificate_required"));
});

test("an appliance under another CA is not spoken to", async () => {
  const other = connect({ url: dev.url, ca: dev.bank.cert, ...dev.bank });
  await assert.rejects(other.GET("/healthz"), /certificate|fetch|self-signed/i);
});
