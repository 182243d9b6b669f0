import { ask, sign, words } from "/passkey.js";

const at = (id) => document.getElementById(id);
const id = location.hash.slice(1);

/** Shows what the appliance says the payment is, not what a link says. */
async function show() {
  const { transaction, options } = await ask(`/bank/payments/${id}`);
  at("amount").textContent = transaction.amount;
  at("currency").textContent = transaction.currency;
  at("payee").textContent = transaction.payee.name;
  at("account").textContent = transaction.payee.account.replace(/(.{4})(?=.)/g, "$1 ");
  at("reference").textContent = transaction.reference;
  at("payment").hidden = false;
  at("approve").addEventListener("click", () => approve(options));
}

async function approve(options) {
  at("approve").disabled = true;
  try {
    const credential = await sign(options);
    const { receipt_id } = await ask(`/bank/payments/${id}/verify`, { credential });
    end("good", "✓", "Payment approved", "It is on its way.", `Receipt ${receipt_id}`);
  } catch (error) {
    if (error.name === "NotAllowedError") {
      at("approve").disabled = false;
      at("status").textContent = words(error);
      return;
    }
    end("bad", "!", "Payment refused", "Nothing was paid. Please start again, and call us if this goes on.", "");
  }
}

function end(kind, badge, verdict, told, receipt) {
  at("payment").hidden = true;
  at("outcome").hidden = false;
  at("outcome").classList.add(kind);
  at("badge").textContent = badge;
  at("verdict").textContent = verdict;
  at("told").textContent = told;
  at("receipt").textContent = receipt;
}

show().catch(() => { at("status").textContent = "There is no such payment. Please log in and start again."; });
