// node reader.mjs ID: what the visitor is about to do, with node-redis.
import { createHmac } from "node:crypto";
import slot from "cluster-key-slot";
import { createClient } from "redis";

const store = await createClient({ url: process.env.LAMBENT_STORE_URL }).connect();
const digest = createHmac("sha256", Buffer.from(process.env.LAMBENT_USER_KEY, "hex")).update(process.argv[2]).digest();
const user = digest.subarray(0, 16).toString("base64url");
const p = slot(user) % Number(await store.hGet("lambent:meta", "partitions"));
const intent = JSON.parse((await store.get(`intent:{${p}}:${user}`)) ?? "null");
console.log(JSON.stringify(intent));
store.destroy();
