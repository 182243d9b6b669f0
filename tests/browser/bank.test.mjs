/** A customer in a real browser: a passkey, a login, a payment approved, a payment refused. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { answer } from "../../clients/typescript/dist/src/index.js";
import { open } from "./bank.mjs";
import { launch } from "./chromium.mjs";

const dev = JSON.parse(readFileSync(process.env.REDOUBT_DEV, "utf8"));
const shots = process.env.REDOUBT_SHOTS;
const NAME = "anna.berger@example.com";
let bank, browser, page, authenticator;

before(async () => {
  mkdirSync(shots, { recursive: true });
  bank = await open(dev);
  browser = await launch(process.env.REDOUBT_CHROMIUM, process.env.REDOUBT_CHROMIUM_LIBRARIES, bank.port, bank.spki);
  page = browser.page;
  await page.send("Page.enable");
  authenticator = await page.addAuthenticator();
});

after(async () => {
  await browser?.close();
  bank?.close();
});

/** Keeps how the page looks, on a desk and on a phone, where nothing may stick out. */
async function keep(name) {
  for (const [screen, width, height] of [["desk", 1280, 900], ["phone", 390, 844]]) {
    const { png, overflow } = await page.picture(width, height, screen === "phone");
    assert.ok(overflow <= 0, `${name}: ${overflow} pixels stick out on a ${screen}`);
    writeFileSync(join(shots, `${name}-${screen}.png`), png);
  }
  for (const { role, name: called } of await page.controls()) assert.ok(called, `a ${role} without a name`);
}

const status = () => page.run("document.getElementById('status').textContent");
const seen = (id) => page.run(`document.getElementById(${JSON.stringify(id)}).textContent`);
const shown = (id) => page.until(`document.getElementById(${JSON.stringify(id)})?.hidden === false`);

async function logIn() {
  // Nobody picks what is suggested before the name is there.
  await page.touches(authenticator, false);
  await page.open("https://bank.example/");
  await page.fill("#name", NAME);
  await page.touches(authenticator, true);
  await page.click("#login button[type=submit]");
  await shown("account");
}

async function startPayment(amount) {
  await page.fill("#payee", "Northwind Tooling GmbH");
  await page.fill("#account-number", "DE89370400440532013000");
  await page.fill("#amount", amount);
  await page.fill("#reference", "Invoice 2026-117");
  await page.click("#pay button");
  await page.until("location.host === 'approve.bank.example'");
  await shown("payment");
}

async function approvalStatus(id) {
  const params = { path: { id } };
  return (await answer(bank.appliance.GET("/api/v1/approvals/{id}", { params }))).status;
}

test("a customer registers a passkey and logs in with it", async () => {
  await page.open("https://bank.example/");
  await keep("1-login");
  await page.fill("#name", NAME);
  await page.click("#register");
  await page.until("document.getElementById('status').textContent.includes('ready')");
  const { credentials } = await page.send("WebAuthn.getCredentials", { authenticatorId: authenticator });
  assert.equal(credentials.length, 1);
  assert.ok(credentials[0].isResidentCredential);
  const { userHandle } = credentials[0];
  assert.ok(!Buffer.from(userHandle, "base64").toString().includes("customer-"), "the handle names the customer");
  await logIn();
  assert.equal(await seen("hello"), NAME);
  await keep("2-account");
});

test("a customer picks the passkey that the browser suggests, and names nobody", async () => {
  await page.touches(authenticator, false);
  await page.open("https://bank.example/");
  assert.ok(await page.run("PublicKeyCredential.isConditionalMediationAvailable()"));
  await page.until("performance.getEntriesByName('https://bank.example/bank/login/options').length === 1");
  assert.deepEqual([await status(), await page.run("document.getElementById('account').hidden")], ["", true]);
  await page.touches(authenticator, true);
  await page.open("https://bank.example/");
  await shown("account");
  assert.equal(await page.run("document.getElementById('name').value"), "");
  assert.equal(await seen("hello"), NAME);
});

test("the approval page shows amount and payee, and the proof names the same", async () => {
  await logIn();
  await startPayment("250.00");
  assert.equal(await seen("amount"), "250.00");
  assert.equal(await seen("payee"), "Northwind Tooling GmbH");
  await keep("3-approve");
  await page.click("#approve");
  await shown("outcome");
  assert.equal(await seen("verdict"), "Payment approved");
  await keep("4-approved");
  const artefact = bank.artefacts.at(-1);
  const file = join(shots, "artefact.json");
  writeFileSync(file, JSON.stringify(artefact));
  execFileSync("redoubt-audit", ["verify", "--artefact", file, "--trust", dev.trust_dir], { stdio: "pipe" });
  const { transaction } = JSON.parse(Buffer.from(artefact.payload, "base64url"));
  assert.equal(transaction.amount, "250.00");
  assert.equal(transaction.payee.name, "Northwind Tooling GmbH");
});

/** What malware in the page would do: another amount under the customer's signature. */
const MALWARE = `
  const honest = window.fetch;
  window.fetch = async (path, init) => {
    if (!String(path).endsWith("/verify")) return honest(path, init);
    const transaction = { amount: "9250.00", currency: "EUR", reference: "Invoice 2026-117",
      payee: { name: "Northwind Tooling GmbH", account: "DE89370400440532013000" } };
    const headers = { "content-type": "application/json" };
    const made = await honest("/bank/payments", { method: "POST", headers, body: JSON.stringify({ transaction }) });
    window.other = (await made.json()).id;
    return honest("/bank/payments/" + window.other + "/verify", init);
  };`;

test("a page that changes the amount gets no approval for either", async () => {
  await logIn();
  await startPayment("250.00");
  const small = await page.run("location.hash.slice(1)");
  await page.run(MALWARE);
  const approved = bank.artefacts.length;
  await page.click("#approve");
  await shown("outcome");
  assert.equal(await seen("verdict"), "Payment refused");
  await keep("5-refused");
  const large = await page.run("window.other");
  assert.notEqual(small, large);
  assert.notEqual(await approvalStatus(small), "approved");
  assert.notEqual(await approvalStatus(large), "approved");
  assert.equal(bank.artefacts.length, approved);
});

test("without the customer's finger there is no login", async () => {
  await page.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId: authenticator });
  authenticator = await page.addAuthenticator();
  await page.open("https://bank.example/");
  await page.fill("#name", NAME);
  await page.click("#login button[type=submit]");
  await page.until("document.getElementById('status').textContent !== ''", 20);
  assert.match(await status(), /Cancelled/);
  assert.ok(await page.run("document.getElementById('account').hidden"));
});
