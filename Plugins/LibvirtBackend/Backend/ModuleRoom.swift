#if Libvirt
import Custody

/// What a domain needs so that modules can be plugged into it, held against what it has.
///
/// Libvirt and QEMU would say no to a plug, one reason at a time, and in the midst of a change.
struct ModuleRoom {
    private let live: LiveDescription
    /// The regions of the layout by number.
    private let regions: [PageRange]

    /// The room that a domain has for regions.
    init(of live: LiveDescription, for regions: [PageRange]) {
        self.live = live
        self.regions = regions
    }

    /// The memory devices that are none of our modules.
    private var others: [XMLElement] {
        live.devices("memory").filter { device in
            device.first("alias")?["name"].flatMap(MemoryModule.number(of:)).map(regions.indices.contains) != true
        }
    }

    // MARK: The description

    /// Sees that the description has what is needed.
    ///
    /// - Throws: `BackendError` with code `unsupported` and the elements that are missing.
    func checkDescription() throws(BackendError) {
        let missing = missingElements
        guard !missing.isEmpty else { return }
        let memory = AdoptedMemory(of: live)
        throw BackendError(
            .unsupported,
            "the domain ‘\(live.root.first("name")?.content ?? "")’ cannot have the modules: it needs "
                + missing.map(\.line).joined(separator: " and ")
                + (live.root.first("maxMemory").map { ", and has \($0.line)" } ?? "")
                + (obstacle.map { "; \($0)" } ?? "") + (isInFiles ? "" : "; \(memory.remark)")
        )
    }

    /// What the description needs beside what it has, or in its place.
    var missingElements: [XMLElement] {
        var missing: [XMLElement] = []
        if !isInFiles {
            let files = [XMLElement("source", ["type": "file"]), XMLElement("access", ["mode": "shared"])]
            missing.append(XMLElement("memoryBacking", [:], files))
        }
        if live.root.first("features", "acpi") == nil {
            missing.append(XMLElement("features", [:], [XMLElement("acpi")]))
        }
        if live.root.first("cpu", "numa", "cell") == nil {
            let count = live.root.first("vcpu").flatMap { Int($0.content) } ?? 1
            let cell = XMLElement(
                "cell",
                [
                    "id": "0", "cpus": count == 1 ? "0" : "0-\(count - 1)", "memory": "\(live.baseMemory / 1024)",
                    "unit": "KiB",
                ]
            )
            missing.append(XMLElement("cpu", [:], [XMLElement("numa", [:], [cell])]))
        }
        if slots < neededSlots || mostBytes < neededBytes { missing.append(sufficientMaximum) }
        return missing
    }

    /// What `maxMemory` has to be at least for all regions, at their addresses. QEMU may do with less: for a `pc` it adds a GiB for
    /// each slot to where the memory of devices can be (hw/i386/pc.c).
    private var sufficientMaximum: XMLElement {
        let first = DomainConfiguration.regionsBase
        let end = regions.map { $0.end * PageSize.base.bytes }.max() ?? first
        let bytes = max(mostBytes, neededBytes, live.baseMemory &+ (end > first ? end - first : 0))
        return XMLElement(
            "maxMemory",
            ["slots": "\(max(slots, neededSlots))", "unit": "KiB"],
            text: "\(bytes / 1024)"
        )
    }

    private var mostBytes: UInt64 { live.root.first("maxMemory")?.byteCount ?? 0 }

    /// Whether the memory that the guest begins with is in files with names, and that of modules will be.
    ///
    /// Of huge pages libvirt gives QEMU a directory, in which that makes a file without a name, whatever the source is said to be
    /// (qemuBuildMemoryBackendProps).
    private var isInFiles: Bool {
        AdoptedMemory(of: live).pieces.first?.source == .file && live.root.first("memoryBacking", "hugepages") == nil
    }

    /// Why no module can be made of a file of ours with what the memory is behind; `nil` where one can.
    private var obstacle: String? {
        if isInFiles { return nil }
        if live.root.first("memoryBacking", "hugepages") != nil {
            return
                "with <hugepages> QEMU makes files without names, for modules, too, and none of ours can be in their place"
        }
        let source = AdoptedMemory(of: live).pieces.first?.source
        return source == .memfd
            ? "with memfd QEMU makes the memory of modules itself, and no file of ours can be in its place" : nil
    }

    private var slots: Int { live.root.first("maxMemory")?["slots"].flatMap { Int($0) } ?? 0 }

    /// Libvirt counts all memory devices.
    private var neededSlots: Int { others.count + regions.count }

    /// Libvirt and QEMU hold the sum of all sizes against `maxMemory`. Where memory can be is QEMU's word (``place(in:)``).
    private var neededBytes: UInt64 {
        let sizes = others.map { $0.first("target", "size")?.byteCount ?? 0 } + regions.map(\.byteCount)
        return sizes.reduce(live.baseMemory, &+)
    }

    // MARK: The cells

    /// Sees that the NUMA cells that modules are to be in are there.
    ///
    /// - Throws: `BackendError` with code `invalidArgument`, the region, and the cells that there are.
    func checkCells(_ cells: [Int]) throws(BackendError) {
        let there = (live.root.first("cpu", "numa")?.elements("cell") ?? []).compactMap { $0["id"].flatMap { Int($0) } }
        for (region, cell) in zip(regions, cells) where !there.contains(cell) {
            let names = there.map(String.init).joined(separator: ", ")
            throw BackendError(
                .invalidArgument,
                "the module is to be in the NUMA cell \(cell) (module-cells), and the domain has \(names)",
                range: region
            )
        }
    }

    // MARK: The addresses

    /// Sees that nothing else is where the modules are to be.
    ///
    /// - Parameters:
    ///   - devices: what QEMU has.
    ///   - place: where QEMU can have memory of devices; `nil` where it does not tell.
    /// - Throws: `BackendError` with code `invalidArgument`, the region, and what is there.
    func checkAddresses(beside devices: [MemoryDevice], within place: Range<UInt64>?) throws(BackendError) {
        let known = Set(regions.indices.map(MemoryModule.alias))
        for region in regions {
            let bytes = region.address.rawValue..<region.address.rawValue + region.byteCount
            for device in devices where !known.contains(device.data.id ?? "") {
                guard let there = device.addresses, there.overlaps(bytes) else { continue }
                throw BackendError(
                    .invalidArgument,
                    "the domain has ‘\(device.data.id ?? "a memory device")’ there, \(ModuleRoom.text(there)): "
                        + "the module has to be elsewhere",
                    range: region
                )
            }
            guard let place, bytes.lowerBound < place.lowerBound || bytes.upperBound > place.upperBound else {
                continue
            }
            let reason =
                bytes.lowerBound < place.lowerBound
                ? "its own memory is below: the module has to be elsewhere"
                : "above there is room with \(sufficientMaximum.line)"
            throw BackendError(
                .invalidArgument,
                "the domain can have modules at \(ModuleRoom.text(place)) only; \(reason)",
                range: region
            )
        }
    }

    private static func text(_ range: Range<UInt64>) -> String {
        "0x\(String(range.lowerBound, radix: 16))-0x\(String(range.upperBound, radix: 16))"
    }

    /// Where QEMU can have the memory of devices, in its answer to `info mtree` (hw/mem/memory-device.c, hw/i386/pc.c):
    /// `0000000100000000-000000023fffffff (prio 0, i/o): device-memory`.
    static func place(in tree: String) -> Range<UInt64>? {
        for line in tree.split(whereSeparator: \.isNewline) where line.hasSuffix(": device-memory") {
            let ends = line.drop(while: \.isWhitespace).prefix { !$0.isWhitespace }.split(separator: "-")
            guard ends.count == 2, let first = UInt64(ends[0], radix: 16), let last = UInt64(ends[1], radix: 16),
                first <= last, last < .max
            else { return nil }
            return first..<last + 1
        }
        return nil
    }

    // MARK: The sockets

    /// The sockets that modules can have: the lowest ones that nothing is in.
    func freeSlots() -> [Int] {
        let taken = live.devices("memory").compactMap { $0.first("address")?["slot"].flatMap { Int($0) } }
        return (0..<slots).filter { !taken.contains($0) }
    }
}

#endif
