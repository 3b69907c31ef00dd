/** Values as people read them. */
import { formatDurationMs, formatSizeShort } from '../../config/units.js';

export const size = (bytes: number): string => formatSizeShort(BigInt(Math.round(bytes)));

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
export const count = (value: number): string => whole.format(value);

/** 1,234 → '1.2 k': rates. */
export function short(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(value >= 1e7 ? 0 : 1)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)} k`;
  return value >= 100 || value === 0 ? whole.format(value) : value.toFixed(1);
}

export function percent(part: number, of: number): string {
  if (of === 0 || part === 0) return '0 %';
  const value = (100 * part) / of;
  return value < 0.1 ? '< 0.1 %' : `${value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** `1 volume`, `2 volumes`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** '2026-11-29 14:03:12' in the local zone. */
export function time(iso: string): string {
  const at = new Date(iso);
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** '3 min ago', 'in 2 h'. */
export function ago(iso: string, now = Date.now()): string {
  const ms = now - Date.parse(iso);
  if (Math.abs(ms) < 2000) return 'now';
  const span = formatDurationMs(Math.abs(ms)).split(' ').slice(0, 2).join(' ');
  return ms > 0 ? `${span.replace(/\.\d/, '')} ago` : `in ${span.replace(/\.\d/, '')}`;
}

export const duration = (ms: number): string => formatDurationMs(Math.max(0, ms));

/** A word of the shell, quoted where it must be. */
export function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A command line; empty parts are left out. */
export function cli(...parts: readonly (string | null | false)[]): string {
  return ['ashlar', ...parts.filter((part) => typeof part === 'string' && part !== '')].join(' ');
}

/** `--tenant NAME`, where it is not the one that the command line takes anyway. */
export const tenantFlag = (tenant: string): string =>
  tenant === 'default' ? '' : `--tenant ${word(tenant)}`;
