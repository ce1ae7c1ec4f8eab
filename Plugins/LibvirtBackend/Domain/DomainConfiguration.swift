#if Libvirt
import Custody

/// A domain as this back end defines one: a machine with a little memory of its own, and room for regions above 4 GiB.
package struct DomainConfiguration: Sendable, Hashable {
    /// How the guest's instructions are run: libvirt's domain type.
    package enum Accelerator: String, Sendable, Hashable, CaseIterable {
        /// By QEMU itself: everywhere, slowly.
        case emulated = "qemu"
        /// By the processor.
        case kvm
    }

    /// The name.
    package var name: String
    /// The UUID; `nil` for one of libvirt's choice.
    package var uuid: String?
    /// How the guest's instructions are run.
    package var accelerator = Accelerator.emulated
    /// QEMU's machine type.
    package var machine = "pc"
    /// The memory that the guest always has, in bytes: a multiple of 1 MiB, at most 2 GiB, so that it ends below 4 GiB.
    package var baseMemory: UInt64 = 16 << 20
    /// The first guest-physical byte after all regions.
    package var regionsEnd: UInt64
    /// How many regions there can be at a time.
    package var slots: Int
    /// Memory that comes and goes by amount.
    package var pools: [ElasticPoolConfiguration] = []
    /// Whether all memory is taken from the system before the guest gets it: what it begins with, and that of a pool's block.
    package var takesMemory = true
    /// Whether the guest has a balloon.
    package var hasBalloon = false
    /// The number of virtual processors.
    package var processors = 1
    /// The number of NUMA cells, at most one a MiB of base memory: memory and processors are spread over them.
    package var cells = 1
    /// The firmware image; `nil` for the machine's own.
    package var firmware: String?
    /// A Linux kernel to boot, with its initial file system and command line.
    package var kernel: (image: String, initrd: String?, commandLine: String?)?
    /// The socket of the first serial port, which QEMU makes.
    package var serialSocket: String?
    /// The socket of the second serial port, which QEMU makes: the micro guest's channel.
    package var channelSocket: String?
    /// What is kept with the domain, and means nothing to libvirt.
    package var metadata: [XMLElement] = []
    /// How the processor protects the guest from its host; `nil` where it does not.
    package var launchSecurity: LaunchSecurity?
    /// The program that runs the guest.
    package var emulator = DomainConfiguration.defaultEmulator
    /// More devices, as libvirt describes them.
    package var devices: [XMLElement] = []

    /// A domain with room for regions up to `regionsEnd`.
    package init(name: String, regionsEnd: UInt64, slots: Int) {
        self.name = name
        self.regionsEnd = regionsEnd
        self.slots = slots
    }

    package static func == (left: DomainConfiguration, right: DomainConfiguration) -> Bool {
        left.description == right.description
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(description) }

    /// QEMU, where distributions have it.
    static let defaultEmulator = "/usr/bin/qemu-system-x86_64"

    /// Where the i440fx machine has its hot-pluggable memory: from 4 GiB on, as long as the rest ends below.
    package static let regionsBase: UInt64 = 4 << 30

    /// One cell: an equal part of the base memory and of the processors, the first one with what is left over. It may have no
    /// processors.
    private func cell(_ number: Int) -> XMLElement {
        func share(of count: Int) -> Range<Int> {
            let first = number == 0 ? 0 : count / cells * number + count % cells
            return first..<count / cells * (number + 1) + count % cells
        }
        var cell = XMLElement("cell", ["id": "\(number)"])
        let processors = share(of: processors)
        if !processors.isEmpty {
            cell["cpus"] =
                processors.count == 1
                ? "\(processors.lowerBound)" : "\(processors.lowerBound)-\(processors.upperBound - 1)"
        }
        cell["memory"] = "\(share(of: Int(baseMemory >> 20)).count)"
        cell["unit"] = "MiB"
        return cell
    }

    /// The description that libvirt is given.
    package var description: XMLElement {
        let mebibyte: UInt64 = 1 << 20
        let base = baseMemory / mebibyte
        let first = DomainConfiguration.regionsBase
        // Libvirt holds the sizes of all memory devices against it, and their number against the slots.
        let end = pools.map { $0.range.end * PageSize.base.bytes }.reduce(max(regionsEnd, first), max)
        let most = base + (end - first) / mebibyte
        var boot = [XMLElement("type", ["arch": "x86_64", "machine": machine], text: "hvm")]
        if let firmware { boot.append(XMLElement("loader", ["readonly": "yes", "type": "rom"], text: firmware)) }
        if let kernel {
            boot.append(XMLElement("kernel", text: kernel.image))
            if let initrd = kernel.initrd { boot.append(XMLElement("initrd", text: initrd)) }
            if let line = kernel.commandLine { boot.append(XMLElement("cmdline", text: line)) }
        }
        var machine = [
            XMLElement("emulator", text: emulator),
            XMLElement("controller", ["type": "usb", "model": "none"]),
            XMLElement("memballoon", ["model": hasBalloon ? "virtio" : "none"]),
            // By which a guest says that it has panicked.
            XMLElement("panic", ["model": "isa"]),
        ]
        machine += pools.enumerated().map { $0.element.element($0.offset) }
        for socket in [serialSocket, channelSocket].compactMap(\.self) {
            machine.append(
                XMLElement("serial", ["type": "unix"], [XMLElement("source", ["mode": "bind", "path": socket])])
            )
        }
        machine += devices
        let identity = [XMLElement("name", text: name)] + (uuid.map { [XMLElement("uuid", text: $0)] } ?? [])
        var domain = XMLElement(
            "domain",
            ["type": accelerator.rawValue],
            identity + [
                XMLElement("metadata", [:], metadata),
                XMLElement("maxMemory", ["slots": "\(slots + pools.count)", "unit": "MiB"], text: "\(most)"),
                XMLElement("memory", ["unit": "MiB"], text: "\(base)"),
                XMLElement("vcpu", text: "\(processors)"),
                XMLElement(
                    "memoryBacking",
                    [:],
                    [XMLElement("source", ["type": "file"]), XMLElement("access", ["mode": "shared"])]
                        + (takesMemory ? [XMLElement("allocation", ["mode": "immediate"])] : [])
                ),
                XMLElement("os", [:], boot),
                XMLElement("features", [:], [XMLElement("acpi")]),
                XMLElement("cpu", [:], [XMLElement("numa", [:], (0..<cells).map(cell))]),
                XMLElement("on_poweroff", text: "destroy"),
                XMLElement("on_reboot", text: "destroy"),
                XMLElement("on_crash", text: "destroy"),
                XMLElement("devices", [:], machine),
            ] + (launchSecurity.map { [$0.element] } ?? [])
        )
        if !pools.isEmpty {
            domain["xmlns:qemu"] = "http://libvirt.org/schemas/domain/qemu/1.0"
            let properties = pools.enumerated().map { $0.element.properties($0.offset, takesMemory: takesMemory) }
            domain.children.append(.element(XMLElement("qemu:override", [:], properties)))
        }
        return domain
    }
}

#endif
