/**
 * Chromium over its own pipe (Chrome DevTools Protocol), with a virtual authenticator.
 * No driver and no package between the test and the browser.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Starts a browser in which every name of bank.example is the server at `port`. */
export async function launch(program, libraries, port, spki) {
  const profile = mkdtempSync(join(tmpdir(), "redoubt-browser-"));
  const flags = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--remote-debugging-pipe", `--user-data-dir=${profile}`,
    `--host-resolver-rules=MAP bank.example:443 127.0.0.1:${port}, MAP *.bank.example:443 127.0.0.1:${port}`,
    // One key is trusted, for this test's server; nothing else is.
    `--ignore-certificate-errors-spki-list=${spki}`,
  ];
  const env = libraries ? { ...process.env, LD_LIBRARY_PATH: libraries } : process.env;
  const child = spawn(program, flags, { env, stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const browser = new Pipe(child.stdio[3], child.stdio[4]);
  const ended = new Promise((resolve) => child.on("exit", resolve));
  ended.then((code) => browser.fail(new Error(`the browser ended (${code})`)));
  child.on("error", (error) => browser.fail(error));
  const { targetId } = await browser.send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await browser.send("Target.attachToTarget", { targetId, flatten: true });
  const close = async () => {
    browser.send("Browser.close").catch(() => {});
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { page: new Page(browser, sessionId), close };
}

/** Messages that end with a zero byte, answered by number. */
class Pipe {
  #next = 1;
  #waiting = new Map();
  #text = "";

  constructor(write, read) {
    this.write = write;
    read.setEncoding("utf8");
    read.on("data", (chunk) => this.#take(chunk));
    write.on("error", () => {});
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    this.write.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject, method }));
  }

  fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #take(chunk) {
    const parts = (this.#text + chunk).split("\0");
    this.#text = parts.pop();
    for (const part of parts) {
      const { id, result, error } = JSON.parse(part);
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(new Error(`${waiting.method}: ${error.message}`));
      else waiting?.resolve(result);
    }
  }
}

/** One tab. */
class Page {
  constructor(browser, session) {
    this.send = (method, params) => browser.send(method, params, session);
  }

  /** An authenticator of the device itself whose user verifies without being asked. */
  async addAuthenticator() {
    await this.send("WebAuthn.enable");
    const options = {
      protocol: "ctap2", ctap2Version: "ctap2_1", transport: "internal",
      hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true,
    };
    const { authenticatorId } = await this.send("WebAuthn.addVirtualAuthenticator", { options });
    return authenticatorId;
  }

  /** Whether the authenticator answers of itself, as if somebody touched it. */
  touches(authenticatorId, enabled) {
    return this.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled });
  }

  async open(url) {
    const { errorText } = await this.send("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await this.until("document.readyState === 'complete'");
  }

  /** What an expression comes to in the page. */
  async run(expression) {
    const options = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", options);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async until(expression, seconds = 15) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      // A page that is being left has nothing to say.
      const value = await this.run(expression).catch(() => undefined);
      if (value) return value;
      if (Date.now() > end) throw new Error(`never so: ${expression}\n${await this.text().catch(() => "")}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** What a reader of the page can see. */
  text() {
    return this.run("document.body.innerText");
  }

  async fill(field, value) {
    const found = JSON.stringify(field);
    await this.run(`document.querySelector(${found}).focus(); document.querySelector(${found}).value = ""`);
    await this.send("Input.insertText", { text: value });
  }

  click(button) {
    return this.run(`document.querySelector(${JSON.stringify(button)}).click()`);
  }

  /** A picture as wide as a screen of that width shows it. */
  async picture(width, height, phone) {
    const size = { width, height, deviceScaleFactor: phone ? 2 : 1, mobile: phone };
    await this.send("Emulation.setDeviceMetricsOverride", size);
    const overflow = await this.run("document.documentElement.scrollWidth - innerWidth");
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    await this.send("Emulation.clearDeviceMetricsOverride");
    return { png: Buffer.from(data, "base64"), overflow };
  }

  /** Everything that can be operated, with its role and name as assistive programs hear it. */
  async controls() {
    const { nodes } = await this.send("Accessibility.getFullAXTree");
    const operable = ["button", "textbox", "link", "combobox"];
    const shown = nodes.filter((node) => !node.ignored && operable.includes(node.role?.value));
    return shown.map((node) => ({ role: node.role.value, name: node.name?.value ?? "" }));
  }
}
