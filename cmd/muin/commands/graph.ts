import type { Command } from "commander";
import { createGraph, type Graph, graphToMermaid } from "../../../internal/platform/catalog/graph.ts";
import { topology } from "../../../internal/platform/catalog/topology.ts";
import type { Cli } from "../cli.ts";
import { examples } from "../terminal/options.ts";

/** Registers `graph`. */
export function registerGraph(program: Command, cli: Cli): void {
  const command = program
    .command("graph")
    .description("show services, stores, calls and events, as declared")
    .option("--mermaid", "as a Mermaid flowchart")
    .option("--json", "print for a program: one JSON document")
    .action(async (options: { readonly mermaid?: boolean; readonly json?: boolean }) => {
      // Loaded when asked for: most commands need no service.
      const { catalog } = await import("../../../internal/catalog.ts");
      const graph = createGraph(topology(catalog));
      if (options.json === true) cli.output.json(graph);
      else if (options.mermaid === true) cli.output.print(graphToMermaid(graph));
      else printGraph(cli, graph);
    });
  examples(command, "muin graph", "muin graph --mermaid > graph.mmd");
}

function printGraph({ output }: Cli, graph: Graph): void {
  for (const { name, summary, serves } of graph.services) {
    output.print(output.paint("bold", name));
    output.print(`  ${summary}`);
    for (const typeName of serves) output.print(`  serves     ${typeName}`);
    for (const { store, access } of graph.uses.filter(({ service }) => service === name)) {
      output.print(`  store      ${store} (${access})`);
    }
    for (const { rpcService, callee } of graph.calls.filter(({ caller }) => caller === name)) {
      output.print(`  calls      ${rpcService}${callee === undefined ? "" : ` of ${callee}`}`);
    }
    for (const { message, topic } of graph.events.filter(({ publishers }) => publishers.includes(name))) {
      output.print(`  publishes  ${message} on ${topic}`);
    }
    for (const { message, topic, consumers } of graph.events) {
      const consumer = consumers.find(({ service }) => service === name);
      if (consumer === undefined) continue;
      output.print(
        `  consumes   ${message} on ${topic}${consumer.kind === "everyInstance" ? " (every instance)" : ""}`,
      );
    }
    output.print("");
  }
}
