/// <reference types="node" />
import { EventEmitter } from 'node:events'

/** Version of this package. */
export const version: string
/** Version of the C API of the library that was loaded and, in brackets, the release. */
export const libraryVersion: string
/** Whether the library has a feature, as `anz_has()` lists them. */
export function hasFeature (feature: string): boolean

/** What a message can be made of; text is sent as UTF-8. It is copied before the call returns. */
export type Data = string | NodeJS.ArrayBufferView | ArrayBuffer | SharedArrayBuffer
/** How much is promised of a message, from the least on. */
export type Service = 'unreliable' | 'reliable' | 'fifo' | 'causal' | 'agreed' | 'safe'
/** Why a view came. */
export type Cause =
  | 'join' | 'leave' | 'disconnect' | 'network' | 'merge' | 'demoted' | 'removed' | 'unknown'

/**
 * A member of a group, unique for ever. There is one frozen object for each in a thread: compare
 * them with `===`. Node and session are numbers of 64 bits, in decimal.
 */
export class Member {
  private constructor ()
  readonly node: string
  readonly session: string
}

/** A message, at its place in the order. */
export interface Message {
  readonly type: 'message'
  readonly sender: Member
  /** Yours. Small ones share memory with others that came at the same time. */
  readonly data: Buffer
  /** Its place in the group's order within the view, from 1; 0 if it has none. */
  readonly seq: number
  readonly service: Service | 'unknown'
  /** Own groups that it was sent to; none: to this connection alone. */
  readonly groups: readonly Group[]
}

/** Who is in the group from here on. */
export interface View {
  readonly type: 'view'
  /** Equal ids: equal members, at every member. The five numbers of `anz_view_id_t`, with dots. */
  readonly id: string
  readonly cause: Cause
  readonly members: readonly Member[]
  readonly joined: readonly Member[]
  readonly left: readonly Member[]
  /** Came here with us from our last view. */
  readonly together: readonly Member[]
  /** For each of `members`, which set it came with; 0: ours. */
  readonly sets: readonly number[]
  /** Who, why and on what evidence, in one sentence. */
  readonly reason: string
}

/** From here on to the next view, guarantees are for `together` only. */
export interface Transitional extends Omit<View, 'type'> {
  readonly type: 'transitional'
}

/** So many messages were skipped here (the setting `session.slow_policy` is `gap`). */
export interface Gap {
  readonly type: 'gap'
  readonly skipped: number
}

/** The engine was lost; it is looked for. */
export interface Suspended {
  readonly type: 'suspended'
  readonly reason: string
}

/** It is there again, and this is who we are now; a new view comes. */
export interface Resumed {
  readonly type: 'resumed'
  readonly self: Member
}

export type GroupEvent = Message | View | Transitional | Gap | Suspended | Resumed

export interface MessageOptions {
  /** `agreed`, if not given. */
  service?: Service
  /** Of what this connection has not had ordered yet, ahead of or behind the rest. */
  priority?: 'high' | 'normal' | 'bulk'
  /** Deliver it in the view that was read last, or not at all: `ViewChangedError`. */
  sameView?: boolean
  /** `false`: not to this connection. */
  self?: boolean
}

export interface SendOptions extends MessageOptions {
  /** Ends the waiting; what was sent by then may be delivered all the same. */
  signal?: AbortSignal
}

/** A key of the configuration with its value: text, or what becomes the right text. */
export type Settings = Record<string, string | number | boolean | bigint>

export interface ConnectOptions {
  settings?: Settings
  /** A TOML file; `settings` go over it. */
  configFile?: string
  /** Of messages to this connection alone, as those of `join()`. */
  unreadEventsMax?: number
  unreadBytesMax?: number
  signal?: AbortSignal
}

export interface JoinOptions {
  /** No member: it can send, and gets neither views nor messages. */
  sendOnly?: boolean
  /** So many events may be unread before the connection is not read any more; 16384. */
  unreadEventsMax?: number
  /** The same in bytes of messages; 16 MiB. */
  unreadBytesMax?: number
  signal?: AbortSignal
}

export interface Stats {
  sentMessages: number
  sentBytes: number
  /** Sends for which there was no room at first. */
  sendAgain: number
  receivedMessages: number
  receivedBytes: number
  views: number
  sendRingUsed: number
  sendRingSize: number
  receiveRingUsed: number
  receiveRingSize: number
  /** How long the oldest event has waited to be received, at most. */
  lagNs: number
  reconnects: number
}

/**
 * Opens a session with an engine. The URL is as for `anz_connect()`: `shm:PATH`, `unix:PATH`,
 * `tcp://HOST:PORT`, `inproc:NAME`; none: what `ANASAZI_URL` says, else the local daemon, else an
 * engine in this process.
 */
export function connect (url?: string | URL | null, options?: ConnectOptions): Promise<Connection>
export function connect (options: ConnectOptions): Promise<Connection>

interface AddressEvents {
  drain: []
  left: [error?: AnasaziError]
}

/** Where messages are sent to. */
export class Address extends EventEmitter implements AsyncDisposable {
  protected constructor ()
  readonly name: string
  readonly connection: Connection
  /** Whether it has ended. */
  readonly closed: boolean
  /** Sends a message: its place in the order, once it is delivered here at that place. */
  mcast (data: Data, options?: SendOptions): Promise<number>
  /** Sends a message if there is room; if not, `drain` comes when there is. */
  tryMcast (data: Data, options?: MessageOptions): boolean
  /** Resolves when there may be room; fails if the group ends, or nothing is read. */
  writable (options?: { signal?: AbortSignal }): Promise<void>
  /** Leaves, and ends with it; before, what waits for room is sent. */
  leave (): Promise<void>
  [Symbol.asyncDispose] (): Promise<void>

  on<K extends keyof AddressEvents> (
    event: K, listener: (...args: AddressEvents[K]) => void): this
  once<K extends keyof AddressEvents> (
    event: K, listener: (...args: AddressEvents[K]) => void): this
  off<K extends keyof AddressEvents> (
    event: K, listener: (...args: AddressEvents[K]) => void): this
}

/** One member, to be reached alone. */
export class Peer extends Address {
  private constructor ()
  readonly member: Member
}

/** A group that was joined. */
export class Group extends Address implements AsyncIterable<GroupEvent> {
  private constructor ()
  readonly sendOnly: boolean
  /** The view that was received last, which may be ahead of what was read. */
  readonly view: View | undefined
  /** Its events in order. One reader at a time. */
  [Symbol.asyncIterator] (): EventReader<GroupEvent>
  /** The same, all that are there at once. */
  batches (): EventReader<GroupEvent[]>
}

/** Reads events. Ending it (`break`) leaves the others for the next reader. */
export interface EventReader<T> extends AsyncIterableIterator<T>, AsyncDisposable {
  next (): Promise<IteratorResult<T, undefined>>
  return (value?: undefined): Promise<IteratorResult<T, undefined>>
  throw (error?: unknown): Promise<IteratorResult<T, undefined>>
  [Symbol.asyncIterator] (): EventReader<T>
}

interface ConnectionEvents {
  suspended: [reason: string]
  resumed: [self: Member]
  stalled: []
  error: [error: AnasaziError]
  close: [error?: AnasaziError]
}

/** A session with an engine. */
export class Connection extends EventEmitter
  implements AsyncIterable<Message | Gap>, AsyncDisposable {
  private constructor ()
  /** Who this is; undefined before its first connection. */
  readonly self: Member | undefined
  /** Whether it has ended. */
  readonly closed: boolean
  /** Joins a group, of which it then is a member. */
  join (name: string, options?: JoinOptions): Promise<Group>
  /** An address for one member. */
  peer (member: Member): Peer
  /** Sends a message to several groups: once to each member of any of them. */
  mcast (groups: readonly Address[], data: Data, options?: SendOptions): Promise<number>
  tryMcast (groups: readonly Address[], data: Data, options?: MessageOptions): boolean
  /** Asks the engine something, as the console does. */
  query (question: object, options?: { signal?: AbortSignal }): Promise<any>
  /** "node/session", for people. */
  memberName (member: Member): string
  stats (): Stats
  /** The connection keeps the process alive, as it does at first. */
  ref (): this
  /** It does not. */
  unref (): this
  /** Leaves all groups and ends. */
  close (): Promise<void>
  [Symbol.asyncDispose] (): Promise<void>
  /** Messages to this connection alone. One reader at a time. */
  [Symbol.asyncIterator] (): EventReader<Message | Gap>

  on<K extends keyof ConnectionEvents> (
    event: K, listener: (...args: ConnectionEvents[K]) => void): this
  once<K extends keyof ConnectionEvents> (
    event: K, listener: (...args: ConnectionEvents[K]) => void): this
  off<K extends keyof ConnectionEvents> (
    event: K, listener: (...args: ConnectionEvents[K]) => void): this
}

export interface EngineOptions {
  settings?: Settings
  configFile?: string
  /** What drives it: the loop of this thread (so, if not given), or a thread of its own. */
  drive?: 'loop' | 'thread'
}

interface EngineEvents {
  error: [error: AnasaziError]
  close: [error?: AnasaziError]
}

/**
 * An engine in this process: what a daemon is made of. Emits `close` when it has ended; with an
 * error, and `error` before if somebody listens, where it did so by itself.
 */
export class Engine extends EventEmitter implements AsyncDisposable {
  constructor (options?: EngineOptions)
  /** A session with it. */
  connect (options?: Omit<ConnectOptions, 'signal'>): Promise<Connection>
  ref (): this
  unref (): this
  /** Leaves the cluster cleanly, and ends; its connections with it. */
  close (): Promise<void>
  [Symbol.asyncDispose] (): Promise<void>

  on<K extends keyof EngineEvents> (
    event: K, listener: (...args: EngineEvents[K]) => void): this
  once<K extends keyof EngineEvents> (
    event: K, listener: (...args: EngineEvents[K]) => void): this
  off<K extends keyof EngineEvents> (
    event: K, listener: (...args: EngineEvents[K]) => void): this
}

/** What all errors of this package are. */
export class AnasaziError extends Error {
  protected constructor ()
  /** `ANZ_EAGAIN` and so on. */
  readonly code: string
  /** Its number, as in the C header: negative. */
  readonly errno: number
  /** `errno` of the system call that failed; 0 if none. */
  readonly osErrno: number
  /** Trying again later may help. */
  readonly retryable: boolean
  /** The engine is out of use. */
  readonly fatal: boolean
}
/** `ANZ_EINVAL`: an argument cannot be used. */
export class InvalidArgumentError extends AnasaziError {}
/** `ANZ_EMSGSIZE`: longer than the engine takes. */
export class MessageSizeError extends InvalidArgumentError {}
/** `ANZ_ECONFIG`: names the key, and what is allowed. */
export class ConfigError extends InvalidArgumentError {}
/** `ANZ_EAGAIN`: no room. */
export class WouldBlockError extends AnasaziError {}
/** `ANZ_ENOMEM`: no memory, no descriptors, or a limit of the engine is reached. */
export class OutOfMemoryError extends AnasaziError {}
/** `ANZ_EBUSY`: somebody reads already. */
export class BusyError extends AnasaziError {}
/** `ANZ_EEXIST`: joined already. */
export class ExistsError extends AnasaziError {}
/** `ANZ_EACCES`: the daemon's rules do not let this program in. */
export class AccessError extends AnasaziError {}
/** `ANZ_ENOTSUP`: not built into this library. */
export class NotSupportedError extends AnasaziError {}
/** `ANZ_ETIMEDOUT`. */
export class TimeoutError extends AnasaziError {}
/** `ANZ_ECONNREFUSED`: no engine there. */
export class ConnectionRefusedError extends AnasaziError {}
/** `ANZ_ECLOSED`: the connection or group has ended. */
export class ClosedError extends AnasaziError {}
/** `ANZ_ENOTMEMBER`: of a message to who is not there, or by who is leaving. */
export class NotMemberError extends AnasaziError {}
/** `ANZ_ESLOW`: events were not read in time. */
export class SlowReceiverError extends AnasaziError {}
/** `ANZ_EVIEW`: not delivered, since the view has changed. */
export class ViewChangedError extends AnasaziError {}
/** `ANZ_ELOST`: the engine went away before it told; it may be delivered all the same. */
export class MessageLostError extends AnasaziError {}

export {}
