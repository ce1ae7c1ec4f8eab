#if Libvirt
import Glibc

/// Who has a file open or mapped, or may have.
struct FileHolder: Sendable, Hashable {
    /// What is known of it.
    enum Hold: Sendable, Hashable {
        /// Part of the file is mapped. A mapping can be grown over the rest (mremap(2)) without an open: whoever has one reaches
        /// all of the file.
        case mapped
        /// The file is open.
        case open
        /// It cannot be looked into, for this reason: it is taken to have the file.
        case unseen(String)
    }

    /// The process; `nil` for a part of the kernel, and for one that has not been looked at.
    let process: Int32?
    /// What it calls itself: `/proc/PID/comm`, or a device's name, or who it is in words.
    let command: String
    /// What is known of it.
    let hold: Hold

    /// Whether it has part of the file mapped.
    var isMapped: Bool { hold == .mapped }

    /// Why it cannot be looked into; `nil` where it can.
    var obstacle: String? { if case .unseen(let why) = hold { why } else { nil } }

    /// Holders in words, the first few by their names, however many there are.
    static func names(of holders: [FileHolder]) -> String {
        let first = holders.prefix(mostNames).map { holder in
            holder.process.map { "\(holder.command) (pid \($0))" } ?? holder.command
        }
        let rest = holders.count - first.count
        return first.joined(separator: ", ") + (rest > 0 ? " and \(rest) more" : "")
    }

    /// So many are named one by one.
    static let mostNames = 3

    /// The name that a process calls itself.
    static func command(of process: Int32) -> String {
        let name = ProcessMaps.text("/proc/\(process)/comm").split(separator: "\n").first.map(String.init)
        return name ?? "process \(process)"
    }
}

#endif
