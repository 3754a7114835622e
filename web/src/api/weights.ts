/** Weights of a line, and commands about them. */

import { json } from './client'

export type WeightsKind = 'teacher' | 'segmenter'
export type CommandKind = 'train' | 'hold' | 'resume' | 'rollback'

export interface Decision {
  readonly accepted: boolean
  readonly text: string
  readonly at: string
  /** Name of the run, or cause of the fit. */
  readonly origin: string
  readonly figures: Readonly<Record<string, number>>
}

export interface Weights {
  readonly weights: string
  readonly kind: WeightsKind
  readonly method: string
  readonly state: string
  readonly since_at: string | null
  readonly decision: Decision | null
  /** Set since its release; null: that of the manifest. */
  readonly threshold: number | null
  readonly may_return: boolean
  readonly lineage: {
    readonly training_set: string
    readonly teachers: readonly string[]
    readonly normals: number
    readonly captures: number
    readonly answers: number
  }
}

export interface Run {
  readonly run: string
  readonly outcome: 'open' | 'accepted' | 'refused' | 'failed' | 'cancelled'
  readonly progress: string
  readonly frozen_at: string
  readonly closed_at: string | null
  readonly starts: number
  readonly started_at: string | null
  readonly weights: string
  readonly method: string
  readonly reason: string
}

/** Weights, runs and learning of one product. */
export interface ProductWeights {
  readonly product: string
  readonly judges: string
  readonly judges_kind: WeightsKind | null
  readonly is_held: boolean
  /** Why it learns nothing; empty where it does. */
  readonly paused: string
  readonly weights: readonly Weights[]
  readonly runs: readonly Run[]
}

export interface Command {
  readonly command_id: string
  readonly product: string
  readonly kind: CommandKind
  readonly by: string
  readonly given_at: string
  readonly reason: string
  readonly weights: string
  readonly stage: string
  /** Null: the stage has not answered yet. */
  readonly fate: 'done' | 'refused' | null
  readonly detail: string
  readonly ended_at: string | null
}

export interface CommandOrder {
  readonly kind: CommandKind
  readonly product: string
  readonly by: string
  readonly reason: string
  /** Of a rollback: weights to go back to. */
  readonly weights: string
}

export async function readWeights(line: string, signal: AbortSignal): Promise<readonly ProductWeights[]> {
  return (await json<{ products: ProductWeights[] }>(`/v1/lines/${line}/weights`, { signal })).products
}

export async function readCommands(line: string, signal: AbortSignal): Promise<readonly Command[]> {
  return (await json<{ commands: Command[] }>(`/v1/lines/${line}/commands`, { signal })).commands
}

/** Give a command; a repeat with the same id is the same command. */
export async function giveCommand(line: string, id: string, order: CommandOrder): Promise<Command> {
  return json(`/v1/lines/${line}/commands/${id}`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(order),
  })
}

/** Id of a new command: the time, by which lists are sorted, and a random part. */
export function newCommandId(now: number): string {
  const random = [...crypto.getRandomValues(new Uint8Array(10))]
  return (
    now.toString(16).padStart(12, '0') + random.map((byte) => byte.toString(16).padStart(2, '0')).join('')
  )
}
