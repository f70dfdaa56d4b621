import { afterAll } from "bun:test";
import { fileEnded } from "./test-output.ts";

// Loaded before the tests of a worker.
afterAll(() => console.error(fileEnded));
