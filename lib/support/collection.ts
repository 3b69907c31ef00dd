/** What goes into a bundle, as it comes, and what could not be had. */
import { toAshlarError } from '../errors.js';

export interface Part {
  /** Its name in the bundle. */
  name: string;
  /** One line for the table of contents. */
  what: string;
  content: unknown;
}

export interface Missing {
  what: string;
  why: string;
}

export class Collection {
  readonly parts: Part[] = [];
  readonly missing: Missing[] = [];

  /** Adds what `read` gives: text as it is, all else as JSON. What it throws is noted instead. */
  async take<T>(name: string, what: string, read: () => Promise<T> | T): Promise<T | null> {
    try {
      const content = await read();
      this.parts.push({ name, what, content });
      return content;
    } catch (thrown) {
      this.lacks(name, toAshlarError(thrown).message);
      return null;
    }
  }

  lacks(what: string, why: string): void {
    this.missing.push({ what, why });
  }
}
