/**
 * A passkey in software: what a customer's browser and authenticator do, for tests and for
 * trying things out. It verifies nobody; a bank's customers use their own devices.
 *
 *     node software-passkey.js create|get ORIGIN KEYFILE < options.json > answer.json
 */
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { components } from "./schema.js";

type Schemas = components["schemas"];

const USER_PRESENT = 0x01;
const USER_VERIFIED = 0x04;
const KEY_INCLUDED = 0x40;
/** COSE's name of ECDSA on P-256 with SHA-256. */
const ES256 = -7;

/** What is kept between ceremonies. */
export interface Kept {
  id: string;
  rpId: string;
  userHandle: string;
  key: string;
  counter: number;
}

/** One discoverable credential of one customer. */
export class SoftwarePasskey {
  private constructor(private readonly kept: Kept, private readonly key: KeyObject) {}

  /** The passkey that was kept. */
  static load(kept: Kept): SoftwarePasskey {
    return new SoftwarePasskey(kept, createPrivateKey(kept.key));
  }

  /** `navigator.credentials.create` at an origin. */
  static create(
    origin: string,
    options: Schemas["CreationOptions"],
  ): [SoftwarePasskey, Schemas["RegistrationResponse"]] {
    if (!options.pubKeyCredParams.some(({ alg }) => alg === ES256)) throw new Error("ES256 is not asked for");
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const id = randomBytes(16);
    const kept: Kept = {
      id: id.toString("base64url"),
      rpId: options.rp.id,
      userHandle: options.user.id,
      key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
      counter: 0,
    };
    const passkey = new SoftwarePasskey(kept, privateKey);
    const { x, y } = publicKey.export({ format: "jwk" });
    const cose = Buffer.concat([
      hex("a5010203262001215820"), Buffer.from(x!, "base64url"), hex("225820"), Buffer.from(y!, "base64url"),
    ]);
    const length = Buffer.from([0, id.length]);
    const named = Buffer.concat([Buffer.alloc(16), length, id, cose]);
    const data = passkey.authenticatorData(KEY_INCLUDED, named);
    // {"fmt": "none", "attStmt": {}, "authData": bytes}
    const head = hex("a363666d74646e6f6e656761747453746d74a068617574684461746158");
    const attestation = Buffer.concat([head, Buffer.from([data.length]), data]);
    const response = {
      clientDataJSON: clientData("webauthn.create", options.challenge, origin).toString("base64url"),
      attestationObject: attestation.toString("base64url"),
      transports: ["internal"],
    };
    return [passkey, { ...passkey.named(), response }];
  }

  /** `navigator.credentials.get` at an origin. */
  get(origin: string, options: Schemas["RequestOptions"]): Schemas["AuthenticationResponse"] {
    const allowed = options.allowCredentials ?? [];
    const fits = allowed.length === 0 || allowed.some(({ id }) => id === this.kept.id);
    if (!fits || options.rpId !== this.kept.rpId) throw new Error("no passkey for this");
    this.kept.counter += 1;
    const data = this.authenticatorData(0, Buffer.alloc(0));
    const client = clientData("webauthn.get", options.challenge, origin);
    const signature = sign("sha256", Buffer.concat([data, sha256(client)]), this.key);
    const response = {
      clientDataJSON: client.toString("base64url"),
      authenticatorData: data.toString("base64url"),
      signature: signature.toString("base64url"),
      userHandle: this.kept.userHandle,
    };
    return { ...this.named(), response };
  }

  /** For {@link SoftwarePasskey.load}. */
  keep(): Kept {
    return this.kept;
  }

  private named() {
    const { id } = this.kept;
    return { id, rawId: id, type: "public-key", clientExtensionResults: {} };
  }

  private authenticatorData(flags: number, rest: Buffer): Buffer {
    const head = Buffer.alloc(5);
    head[0] = USER_PRESENT | USER_VERIFIED | flags;
    head.writeUInt32BE(this.kept.counter, 1);
    return Buffer.concat([sha256(Buffer.from(this.kept.rpId)), head, rest]);
  }
}

function clientData(type: string, challenge: string, origin: string): Buffer {
  return Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false }));
}

function sha256(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function hex(text: string): Buffer {
  return Buffer.from(text, "hex");
}

function main([ceremony, origin, file]: string[]): void {
  if (!origin || !file) throw new Error("usage: create|get ORIGIN KEYFILE < options.json");
  const options = JSON.parse(readFileSync(0, "utf8"));
  if (ceremony === "create" && existsSync(file)) throw new Error(`${file} exists`);
  const ceremonies = {
    create: () => SoftwarePasskey.create(origin, options),
    get: () => {
      const passkey = SoftwarePasskey.load(JSON.parse(readFileSync(file, "utf8")));
      return [passkey, passkey.get(origin, options)] as const;
    },
  };
  const [passkey, answer] = ceremonies[ceremony as "create" | "get"]();
  writeFileSync(file, JSON.stringify(passkey.keep()), { mode: 0o600 });
  process.stdout.write(JSON.stringify(answer));
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) main(process.argv.slice(2));
