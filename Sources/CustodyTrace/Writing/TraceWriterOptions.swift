/// How a trace is written.
public struct TraceWriterOptions: Sendable, Hashable {
    /// What becomes of an event when the queue is full.
    public enum WhenFull: Sendable, Hashable {
        /// Whoever caused it waits until there is room: nothing is missing from the trace, and memory changes hands no
        /// faster than the file takes it.
        case wait
        /// It is not written; a line says how many are missing, and where.
        case drop
    }

    /// What is known to be on the disk, whatever happens to the machine. A crash of the process alone loses at most what
    /// is in the queue, whichever it is.
    public enum Durability: Sendable, Hashable {
        /// Whatever the kernel has written by itself.
        case kernel
        /// Everything, once the trace is closed.
        case onClose
        /// Every batch of lines, before the next one.
        case everyBatch
    }

    /// The files of a trace that is cut by size.
    public struct Rotation: Sendable, Hashable {
        /// The size in bytes from which on a file is followed by the next.
        public let bytes: Int64
        /// The number of earlier files that are kept, as `FILE.1` (the youngest), `FILE.2` and so on; at least 1.
        public let keeping: Int

        /// A cut at a size.
        public init(at bytes: Int64, keeping: Int) {
            self.bytes = bytes
            self.keeping = max(1, keeping)
        }
    }

    /// The largest number of events that wait to be written; as many again may be on their way to the file.
    public var capacity: Int
    /// What becomes of an event when the queue is full.
    public var whenFull: WhenFull
    /// What is known to be on the disk.
    public var durability: Durability
    /// Where files are cut; `nil` for one file without an end.
    public var rotation: Rotation?

    /// Options; by default 65 536 events, waiting, on the disk once closed, one file.
    public init(
        capacity: Int = 65536,
        whenFull: WhenFull = .wait,
        durability: Durability = .onClose,
        rotation: Rotation? = nil
    ) {
        self.capacity = max(1, capacity)
        self.whenFull = whenFull
        self.durability = durability
        self.rotation = rotation
    }
}
