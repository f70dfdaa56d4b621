import { createGraph, type Graph, graphToMermaid } from "../../../internal/platform/catalog/graph.ts";
import { topology } from "../../../internal/platform/catalog/topology.ts";
import { localCommand } from "../terminal/command.ts";
import type { Output } from "../terminal/output.ts";

/** `muin graph`. */
export const graph = localCommand({
  name: "graph",
  description: "show services, stores, calls and events, as declared",
  options: {
    mermaid: { help: "as a Mermaid flowchart" },
    json: { help: "print for a program: one JSON document" },
  },
  examples: ["muin graph", "muin graph --mermaid > graph.mmd"],
  run: async ({ mermaid, json }, { output }) => {
    // Loaded when asked for: most commands need no service.
    const { catalog } = await import("../../../internal/catalog.ts");
    const declared = createGraph(topology(catalog));
    if (json === true) output.json(declared);
    else if (mermaid === true) output.print(graphToMermaid(declared));
    else printGraph(declared, output);
  },
});

function printGraph({ services, uses, calls, events }: Graph, output: Output): void {
  for (const { name, summary, serves } of services) {
    output.print(output.paint("bold", name));
    output.print(`  ${summary}`);
    for (const typeName of serves) output.print(`  serves     ${typeName}`);
    for (const { store, access } of uses.filter(({ service }) => service === name)) {
      output.print(`  store      ${store} (${access})`);
    }
    for (const { rpcService, methods, callee } of calls.filter(({ caller }) => caller === name)) {
      const of = callee === undefined ? "" : ` of ${callee}`;
      output.print(`  calls      ${rpcService}${of} (${methods.join(", ")})`);
    }
    for (const { message, topic } of events.filter(({ publishers }) => publishers.includes(name))) {
      output.print(`  publishes  ${message} on ${topic}`);
    }
    for (const { message, topic, consumers } of events) {
      const consumer = consumers.find(({ service }) => service === name);
      if (consumer === undefined) continue;
      output.print(
        `  consumes   ${message} on ${topic}${consumer.kind === "everyInstance" ? " (every instance)" : ""}`,
      );
    }
    output.print("");
  }
}
