#if Libvirt
import CLibvirtHost
import Custody
import Glibc

/// The processes of the machine, and since which list of them each is there.
final class ProcessRegister: Sendable {
    /// A process.
    struct Entry: Sendable, Hashable {
        /// Its number, which another one may have later.
        let process: Int32
        /// The inode of its directory, which no other process has.
        let inode: UInt64
        /// The number of the first list that it is in.
        let since: UInt64
    }

    /// All processes at one time.
    struct List: Sendable {
        /// How many lists there have been with this one; the first one is 1.
        let number: UInt64
        /// In the order of their numbers.
        let entries: [Entry]
    }

    private struct State {
        var last = List(number: 0, entries: [])
        var searches = HolderSearches()
    }

    private let state = Locked(State())

    /// What the searches among them have cost.
    var searches: HolderSearches { state.withLock { $0.searches } }

    /// Counts a search.
    func note(_ search: HolderSearches) { state.withLock { $0.searches += search } }

    /// Lists them.
    ///
    /// - Complexity: O(*n*) in the processes: the directory is read, and nothing of a process.
    func list(_ gate: any CallGate) throws(HostError) -> List {
        try state.withLock { state throws(HostError) in
            let number = state.last.number + 1
            var before = state.last.entries[...]
            let entries = try ProcessRegister.read(gate, room: before.count + 256).map { found in
                while let first = before.first, first.process < found.number { before.removeFirst() }
                if let first = before.first, first.process == found.number, first.inode == found.inode { return first }
                return Entry(process: found.number, inode: found.inode, since: number)
            }
            state.last = List(number: number, entries: entries)
            return state.last
        }
    }

    private static func read(_ gate: any CallGate, room: Int) throws(HostError) -> [clibvirt_process] {
        var room = room
        while true {
            var list = [clibvirt_process](repeating: clibvirt_process(), count: room)
            let count = try gate.host(.scan, "/proc") { unsafe Int(clibvirt_processes(&list, Int32(room))) }
            // There were more than that.
            guard count <= room else {
                room = count + 256
                continue
            }
            return list.prefix(count).sorted { $0.number < $1.number }
        }
    }
}

#endif
