import ArgumentParser
import Custody
import CustodyTrace

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// `custody map`: who owns what, as a picture.
struct MapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "map",
        abstract: "Draw who owns what: from a snapshot, or from a trace at a line or a time.",
        discussion: """
            `custody run --snapshot FILE` writes a snapshot. Of a trace the ownership in the end is drawn unless a line or \
            a time is named.

            Exit codes: 0 for success, 64 when the command line is wrong, 65 when the file is neither a snapshot nor a \
            trace that can be.
            """
    )

    /// When there are colours.
    enum Colour: String, ExpressibleByArgument, CaseIterable {
        case auto, always, never
    }

    @Argument(help: "A snapshot or a trace.")
    var file: String

    @Option(help: "Up to what this line of a trace tells of.")
    var line: Int?

    @Option(help: "Up to what was told by this time of a trace, for example 20ms.")
    var time: String?

    @Option(help: "The width in columns; that of the terminal unless named.")
    var width: Int?

    @Option(help: "Colours: auto (where a terminal shows it), always, never.")
    var color: Colour = .auto

    @Flag(help: "Draw an SVG instead.")
    var svg = false

    func validate() throws {
        if let time, Duration(text: time) == nil {
            throw ValidationError("--time takes a time such as 500ns, 10us, 20ms or 1s, not ‘\(time)’")
        }
        if let width, !(20...10_000).contains(width) {
            throw ValidationError("--width takes a number from 20 to 10000")
        }
    }

    func run() throws {
        try ExitCode.reporting {
            let picture = try ofTrace() ?? OwnershipPicture(SnapshotFile.read(file))
            guard !svg else { return print(OwnershipDrawing(picture).text) }
            let isTerminal = isatty(STDOUT_FILENO) != 0
            let isColoured = color == .always || (color == .auto && isTerminal)
            print(OwnershipMap(picture, width: width ?? terminalWidth, isColoured: isColoured).text)
        }
    }

    private var terminalWidth: Int {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// What a trace says up to the line or the time; `nil` where the file is no trace.
    private func ofTrace() throws -> OwnershipPicture? {
        var reader = try TraceReader(file)
        guard let first = try? reader.next(), case .header(let header) = first else { return nil }
        var account = Account(header, until: time.flatMap { Duration(text: $0) }, line: line ?? .max)
        while !account.isOver {
            let next: TraceReader.Line?
            // What comes after the line is only looked at for what belongs before it.
            do { next = try reader.next() } catch { if reader.line > account.line { break } else { throw error } }
            switch next {
            case nil: return try account.finish()
            case .header(let header)?: try account.begin(header, at: reader.line)
            case .record(let record)?:
                try account.take(Trace.Entry(record: record, file: reader.file, line: reader.line))
            }
        }
        return try account.finish()
    }

    /// What the lines of a trace come to, up to one of them.
    private struct Account {
        let line: Int
        private let end: Timestamp?
        private var model: TraceModel
        private var order = TraceOrder()
        private var title = "at the beginning of the trace"
        /// Lines from after the end: what they tell of took effect before it if a later step was told of by then.
        private var late: [Trace.Entry] = []
        private(set) var isOver: Bool

        init(_ header: TraceHeader, until time: Duration?, line: Int) {
            model = TraceModel(header)
            end = time.map { Timestamp.zero.advanced(by: $0) }
            self.line = line
            isOver = line <= 1
        }

        mutating func begin(_ header: TraceHeader, at place: Int) throws(TraceError) {
            guard header.continues == nil else { return }
            _ = try finish()
            guard !isOver else { return }
            (model, order, late, isOver) = (TraceModel(header), TraceOrder(), [], place >= line)
        }

        mutating func take(_ entry: Trace.Entry) throws(TraceError) {
            if let due = try order.add(entry) { try apply(due) }
        }

        mutating func finish() throws(TraceError) -> OwnershipPicture {
            while !isOver, let due = order.next() { try apply(due) }
            return OwnershipPicture(model, title: title)
        }

        private mutating func apply(_ entry: Trace.Entry) throws(TraceError) {
            late.append(entry)
            if let end, entry.record.time > end { return isOver = late.count > TraceOrder.window }
            for entry in late where !isOver {
                let record = entry.record
                do throws(TraceContradiction) {
                    try model.apply(record)
                } catch {
                    throw TraceError("\(record.event): \(error)", file: entry.file, line: entry.line)
                }
                title = "at \(record.time.since(.zero).text), line \(entry.line) of the trace"
                isOver = entry.line == line
            }
            late.removeAll(keepingCapacity: true)
        }
    }
}
