import { expect, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../testing/mutant.ts";
import { networkOf, readAddress } from "./network.ts";

test.each<readonly [text: string, address: string | undefined]>([
  ["192.0.2.1", "192.0.2.1"],
  [" 192.0.2.1 ", "192.0.2.1"],
  ["192.0.2.1:5678", "192.0.2.1"],
  ["2001:db8::1", "2001:db8::1"],
  ["[2001:db8::1]", "2001:db8::1"],
  ["[2001:db8::1]:443", "2001:db8::1"],
  ['"[2001:db8::1]:443"', "2001:db8::1"],
  ["fe80::1%eth0", "fe80::1"],
  ["[fe80::1%25eth0]:443", "fe80::1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["::FFFF:c000:0201", "192.0.2.1"],
  ["[::ffff:192.0.2.1]:80", "192.0.2.1"],
  ["::1", "::1"],
  ["", undefined],
  ["unknown", undefined],
  ["_hidden", undefined],
  ["localhost", undefined],
  ["192.0.2", undefined],
  ["192.0.2.256", undefined],
  ["192.0.2.1:port", undefined],
  ["192.0.2.1:123456", undefined],
  ["[192.0.2.1]:80", undefined],
  ["[2001:db8::1", undefined],
  ["2001:db8::1]:443", undefined],
  ["2001:db8::1::2", undefined],
  ["192.0.2.1\n198.51.100.1", undefined],
])("the address in %p is %p", (text, address) => {
  expect(readAddress(text)).toBe(address);
});

test.each<readonly [address: string, network: string]>([
  ["192.0.2.1", "192.0.2.1"],
  ["192.0.2.1:5678", "192.0.2.1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["::FFFF:192.0.2.1", "192.0.2.1"],
  ["::ffff:c000:201", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:0DB8:0001:0002::9", "2001:db8:1:2::/64"],
  ["[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"],
  ["2001:db8::9", "2001:db8:0:0::/64"],
  ["::1", "0:0:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["", ""],
  ["no:address", "unknown"],
  ["unknown", "unknown"],
])("the network of %p is %p", (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test("mutant: reading a port as part of the address makes a network of each connection", async () => {
  const mutant = await importMutant<{ networkOf: typeof networkOf }>(
    join(import.meta.dir, "network.ts"),
    "(?::\\d{1,5})?$/.exec(bare) ?? [];\n  if (bracketed",
    "$/.exec(bare) ?? [];\n  if (bracketed",
  );
  expect(mutant.networkOf("[2001:db8:1:2::9]:443")).not.toBe("2001:db8:1:2::/64");
});
