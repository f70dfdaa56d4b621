/** `bun run conformance`: the Connect conformance suite against both ports. Fails when a case does. */
import { missingForSuite, ports, prepareSuite } from "./suite.ts";

const missing = missingForSuite();
if (missing !== undefined) {
  process.stderr.write(`${missing}\n`);
  process.exit(1);
}
const suite = await prepareSuite();
let failed = 0;
for (const port of ports) {
  const result = await suite.run(port);
  if (result.failed > 0) process.stdout.write(result.output);
  process.stdout.write(`${port} port: ${result.passed} passed, ${result.failed} failed\n`);
  failed += result.failed;
}
process.exit(failed === 0 ? 0 : 1);
