/**
 * Customers, approvals, receipts and erasures that made-up requests may be about, as JSON:
 *
 *     REDOUBT_DEV=dev.json node known.mjs > known.json
 */
import { readFileSync } from "node:fs";
import { answer, connect } from "../../clients/typescript/dist/src/index.js";
import { SoftwarePasskey } from "../../clients/typescript/dist/src/software-passkey.js";

const dev = JSON.parse(readFileSync(process.env.REDOUBT_DEV, "utf8"));
const bank = connect({ url: dev.url, ca: dev.ca, ...dev.bank });

async function registered(user_id) {
  const options = await answer(bank.POST("/api/v1/passkeys/register/options", { body: { user_id } }));
  const [passkey, created] = SoftwarePasskey.create("https://bank.example", options);
  const body = { user_id, ...created };
  const { receipt } = await answer(bank.POST("/api/v1/passkeys/register/verify", { body }));
  return { passkey, receipt: JSON.parse(receipt.claims).receipt_id };
}

async function pending(user_id) {
  const payee = { name: "Northwind Tooling GmbH", account: "DE89370400440532013000" };
  const transaction = { amount: "250.00", currency: "EUR", payee, reference: "Invoice 2026-117" };
  return answer(bank.POST("/api/v1/approvals", { body: { user_id, transaction } }));
}

async function given(user_id, passkey) {
  const { approval_id: id, options } = await pending(user_id);
  const body = { user_id, ...passkey.get("https://approve.bank.example", options) };
  await answer(bank.POST("/api/v1/approvals/{id}/verify", { params: { path: { id } }, body }));
  return id;
}

async function erased(user_id) {
  await registered(user_id);
  const { erasure_id } = await answer(bank.DELETE("/api/v1/subjects/{user_id}", { params: { path: { user_id } } }));
  return erasure_id;
}

const user = `known-${Date.now()}`;
const { passkey, receipt } = await registered(user);
const approvals = [await given(user, passkey)];
for (let made = 0; made < 4; made += 1) approvals.push((await pending(user)).approval_id);
const erasures = [await erased(`${user}-erased`)];
console.log(JSON.stringify({ user, approvals, receipts: [receipt], erasures }));
