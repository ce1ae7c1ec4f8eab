import ArgumentParser
import Custody
import CustodyTrace

/// `custody trace show`: a timeline of a trace.
struct TraceShowCommand: ParsableCommand, RuledArguments {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show the lines of a trace as a timeline."
    )

    static let rules = ["file", "--page", "--who", "--kind", "--from", "--to"].map { OptionRule($0) }

    @Argument(help: "The trace.")
    var file: String

    @Option(help: "Only what is about the page at this guest-physical address, for example 2MiB or 0x200000.")
    var page: String?

    @Option(help: "Only what this requester, holder or listener did, for example guest/vcpu0.")
    var who: String?

    @Option(name: .shortAndLong, help: "Only events of these kinds, separated by commas.")
    var kind: String?

    @Option(help: "Only from this time on, for example 20ms.")
    var from: String?

    @Option(help: "Only up to this time.")
    var to: String?

    func validate() throws {
        try checkRules()
        _ = try filter()
    }

    func run() throws {
        try ExitCode.reporting {
            let filter = try filter()
            var reader = try TraceReader(file)
            while let line = try reader.next() {
                switch line {
                case .header(let header): try print(describe(header).printable)
                case .record(let record):
                    guard filter.accepts(record) else { continue }
                    let time = record.time.since(.zero).text
                    let event = record.event.name
                    let place = "\(pad(String(reader.line), 6, isLeft: false))  \(pad(time, 12, isLeft: false))  "
                    try print((place + "[\(record.thread)]  \(pad(event, 12))  \(record.event)").printable)
                }
            }
            TraceCommand.reportNote(reader.gap)
            TraceCommand.reportNote(reader.tornLine)
        }
    }

    private func describe(_ header: TraceHeader) -> String {
        var text = "trace of \(header.backend), begun \(header.started), "
        text += "\(ByteCount.text(ofPages: header.layout.pageCount)) in units of "
        text += "\(ByteCount(header.layout.granularity.bytes))"
        if let count = header.repairedBytes { text += ", after \(count) bytes of a torn line" }
        return text
    }

    private func pad(_ text: String, _ width: Int, isLeft: Bool = true) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return isLeft ? text + space : space + text
    }

    private func filter() throws -> TraceFilter {
        func time(_ text: String?, _ option: String) throws -> Timestamp? {
            guard let text else { return nil }
            guard let duration = Duration(text: text) else {
                throw ValidationError("\(option) takes a time such as 500ns, 10us, 20ms or 1s, not ‘\(text)’")
            }
            return Timestamp.zero.advanced(by: duration)
        }
        let address = try page.map { text throws -> GuestPhysicalAddress in
            let number = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : ByteCount(text: text)?.rawValue
            guard let number, number.isMultiple(of: PageSize.base.bytes) else {
                throw ValidationError("--page takes the address of a page such as 2MiB, not ‘\(text)’")
            }
            return GuestPhysicalAddress(number)
        }
        if who == "" { throw ValidationError("--who takes a name, and this is empty") }
        let kinds = try kind.map { Set(try CommaList.distinctNames($0, "--kind")) }
        if let unknown = kinds?.subtracting(TraceEvent.names).sorted().first {
            throw ValidationError(
                "there is no event ‘\(unknown)’ (there are: \(TraceEvent.names.joined(separator: ", ")))"
            )
        }
        let (begin, end) = (try time(from, "--from"), try time(to, "--to"))
        if let begin, let end, begin > end { throw ValidationError("--from is after --to: no line is between them") }
        return TraceFilter(page: address?.page, who: who, kinds: kinds, from: begin, to: end)
    }
}
