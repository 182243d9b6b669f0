import { ask, create, sign, words } from "/passkey.js";

const at = (id) => document.getElementById(id);
const say = (text) => { at("status").textContent = text; };
let quiet = new AbortController();

/**
 * Passkeys stand among the names that the browser suggests for the field (conditional
 * mediation): whoever picks one logs in, and nobody else sees that it was asked.
 */
async function suggest() {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  const { signal } = (quiet = new AbortController());
  const options = await ask("/bank/login/options", {});
  // A challenge lives as long as its options; then another is asked under.
  const renewed = setTimeout(() => { quiet.abort(); suggest(); }, options.timeout * 0.9);
  signal.addEventListener("abort", () => clearTimeout(renewed));
  try {
    const credential = await sign(options, { mediation: "conditional", signal });
    enter(await ask("/bank/login/verify", { credential }));
  } catch (error) {
    if (!signal.aborted) say(words(error));
  } finally {
    clearTimeout(renewed);
  }
}

function enter({ name }) {
  at("entry").hidden = true;
  at("account").hidden = false;
  at("hello").textContent = name;
  document.title = "Account · Meridian Bank";
  at("payee").focus();
}

/** Runs what a button stands for, and says how it went wrong. */
async function attempt(work) {
  say("");
  // A device is asked one thing at a time.
  quiet.abort();
  document.body.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    say(words(error));
  } finally {
    document.body.removeAttribute("aria-busy");
  }
}

at("register").addEventListener("click", () => attempt(async () => {
  const name = at("name").value;
  if (!at("login").reportValidity()) return;
  const credential = await create(await ask("/bank/register/options", { name }));
  await ask("/bank/register/verify", { name, credential });
  say("Your passkey is ready. Log in with it.");
}));

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const name = at("name").value;
    const credential = await sign(await ask("/bank/login/options", { name }));
    enter(await ask("/bank/login/verify", { name, credential }));
  });
});

at("pay").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const transaction = {
      amount: at("amount").value,
      currency: "EUR",
      payee: { name: at("payee").value, account: at("account-number").value },
      reference: at("reference").value,
    };
    const { id } = await ask("/bank/payments", { transaction });
    location.assign(`https://approve.bank.example/#${id}`);
  });
});

suggest();
