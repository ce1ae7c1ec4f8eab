// swift-tools-version: 6.2
import PackageDescription

/// Settings every Swift target shares: the language as strict as this toolchain can make it.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let uniqueArray = Target.Dependency.product(name: "BasicContainers", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let libvirt = TargetDependencyCondition.when(traits: ["Libvirt"])

let package = Package(
    name: "custody",
    products: [
        .executable(name: "custody", targets: ["CustodyMain"]),
        .library(name: "Custody", targets: ["Custody"]),
        .library(name: "CustodyOptions", targets: ["CustodyOptions"]),
        .library(name: "CustodyPolicy", targets: ["CustodyPolicy"]),
        .library(name: "CustodyConfiguration", targets: ["CustodyConfiguration"]),
        .library(name: "CustodyScenario", targets: ["CustodyScenario"]),
        .library(name: "CustodyTrace", targets: ["CustodyTrace"]),
        .library(name: "CustodyTelemetry", targets: ["CustodyTelemetry"]),
        .library(name: "CustodyProtocols", targets: ["CustodyProtocols"]),
        .library(name: "CustodyChecker", targets: ["CustodyChecker"]),
        .library(name: "SimulationBackend", targets: ["SimulationBackend"]),
        .library(name: "KVMBackend", targets: ["KVMBackend"]),
        .library(name: "GuestChannel", targets: ["GuestChannel"]),
        .library(name: "LibvirtBackend", targets: ["LibvirtBackend"]),
    ],
    traits: [
        .trait(name: "Libvirt", description: "The back end for domains that libvirt manages. Needs libvirt-dev.")
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    ],
    targets: [
        // The core: no dependency.
        .target(name: "Custody", swiftSettings: strict),

        // What a file may say, said once; how a back end is named, looked at and made. No file is read here.
        .target(name: "CustodyOptions", dependencies: ["Custody"], swiftSettings: strict),

        // The policy layer and what stands on it: no back end is named.
        .target(name: "CustodyPolicy", dependencies: ["Custody"], swiftSettings: strict),
        // Files that come from anybody, and files that are to be whole.
        .target(name: "CustodyFiles", dependencies: [system], swiftSettings: strict),
        .target(
            name: "CustodyConfiguration",
            // Of Yams only its copy of libyaml: what it makes of the events has not the place of each.
            dependencies: [
                "Custody", "CustodyFiles", "CustodyOptions", "CustodyPolicy", system,
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "CustodyScenario",
            dependencies: [
                "Custody", "CustodyConfiguration", "CustodyOptions", "CustodyPolicy", "CustodyProtocols",
                "CustodyTrace",
                uniqueArray,
            ],
            resources: [.embedInCode("Resources/hand-over.yaml"), .embedInCode("Resources/default.yaml")],
            swiftSettings: strict
        ),
        .target(
            name: "CustodyTrace",
            dependencies: [
                "Custody", "CustodyFiles", "CustodyOptions", "CustodyPolicy", "CustodyProtocols", heap, system,
                uniqueArray,
            ],
            swiftSettings: strict
        ),
        .target(
            name: "CustodyTelemetry",
            dependencies: [
                "Custody", "CustodyPolicy",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Tracing", package: "swift-distributed-tracing"),
            ],
            swiftSettings: strict
        ),

        // The kernel's protocols, and the proof of what they keep.
        .target(name: "CustodyProtocols", swiftSettings: strict),
        .target(name: "CustodyChecker", dependencies: ["CustodyProtocols"], swiftSettings: strict),

        // Back ends: each knows the core, and how options are described.
        .target(
            name: "SimulationBackend",
            dependencies: ["Custody", "CustodyOptions", "CustodyProtocols"],
            path: "Plugins/SimulationBackend",
            swiftSettings: strict
        ),
        .target(name: "CKVM", path: "Plugins/CKVM"),
        .target(
            name: "KVMBackend",
            dependencies: ["CKVM", "Custody", "CustodyOptions", system],
            path: "Plugins/KVMBackend",
            swiftSettings: strict
        ),
        .target(name: "CGuestChannel", path: "Plugins/CGuestChannel"),
        .target(
            name: "GuestChannel",
            dependencies: ["CGuestChannel", "Custody"],
            path: "Plugins/GuestChannel",
            swiftSettings: strict
        ),
        .systemLibrary(
            name: "CLibvirt",
            path: "Plugins/CLibvirt",
            pkgConfig: "libvirt-qemu",
            providers: [.apt(["libvirt-dev"])]
        ),
        // The library that libvirt itself reads XML with.
        .systemLibrary(
            name: "CLibXML2",
            path: "Plugins/CLibXML2",
            pkgConfig: "libxml-2.0",
            providers: [.apt(["libxml2-dev"])]
        ),
        .target(name: "CLibvirtHost", path: "Plugins/CLibvirtHost"),
        .target(
            name: "LibvirtBackend",
            dependencies: [
                "CLibvirtHost", "Custody", "CustodyOptions", "GuestChannel",
                .target(name: "CLibvirt", condition: libvirt),
                .target(name: "CLibXML2", condition: libvirt),
            ],
            path: "Plugins/LibvirtBackend",
            swiftSettings: strict
        ),

        // The tool: the one place that names them all.
        .target(
            name: "CustodyTool",
            dependencies: [
                "Custody", "CustodyChecker", "CustodyConfiguration", "CustodyFiles", "CustodyOptions", "CustodyPolicy",
                "CustodyProtocols", "CustodyScenario", "CustodyTrace",
                "KVMBackend", "SimulationBackend", .target(name: "LibvirtBackend", condition: libvirt),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(name: "CustodyMain", dependencies: ["CustodyTool"], swiftSettings: strict),

        // What the tests of several modules share.
        .target(
            name: "CustodyTestSupport",
            dependencies: ["Custody", "CustodyPolicy", "SimulationBackend"],
            path: "Tests/CustodyTestSupport",
            swiftSettings: strict
        ),
        // What is tried with any bytes: by the fuzzers, and with their seeds by a test.
        .target(
            name: "FuzzTargets",
            dependencies: [
                "CGuestChannel", "Custody", "CustodyConfiguration", "CustodyOptions", "CustodyPolicy",
                "CustodyScenario", "CustodyTool",
                "CustodyTrace", "GuestChannel", "SimulationBackend",
            ],
            path: "Tests/Fuzz/Targets",
            swiftSettings: strict
        ),
        // Explorations with and without reduction, side by side.
        .target(
            name: "CheckerDifferential",
            dependencies: ["CustodyChecker", "CustodyProtocols"],
            path: "Tests/CheckerDifferential",
            swiftSettings: strict
        ),
        .executableTarget(
            name: "CustodyDifferential",
            dependencies: ["CheckerDifferential"],
            path: "Tests/CustodyDifferential",
            swiftSettings: strict
        ),
        // Processes that have a file in ways that are not seen at the first look.
        .target(name: "CHolders", path: "Tests/CHolders"),
        // A process of the libvirt back end that is killed before one of its calls.
        .executableTarget(
            name: "LibvirtKillSweep",
            dependencies: ["Custody", "CustodyPolicy", .target(name: "LibvirtBackend", condition: libvirt)],
            path: "Tests/LibvirtKillSweep",
            swiftSettings: strict
        ),
        // Many threads on one controller, for release builds and for the thread sanitizer.
        .executableTarget(
            name: "CustodyStress",
            dependencies: ["CustodyTestSupport"],
            path: "Tests/CustodyStress",
            swiftSettings: strict
        ),
    ]
)

/// The test targets, with what they look into.
let tests: KeyValuePairs<String, [Target.Dependency]> = [
    "CustodyTests": ["Custody", "CustodyTestSupport", "SimulationBackend"],
    "CustodyPolicyTests": ["Custody", "CustodyPolicy", "CustodyTestSupport", "CustodyTrace", "SimulationBackend"],
    "CustodyOptionsTests": ["Custody", "CustodyOptions", "CustodyTestSupport", "SimulationBackend"],
    "CustodyConfigurationTests": [
        "Custody", "CustodyConfiguration", "CustodyOptions", "CustodyPolicy", "CustodyTestSupport", "SimulationBackend",
        system,
    ],
    "CustodyScenarioTests": [
        "Custody", "CustodyConfiguration", "CustodyOptions", "CustodyPolicy", "CustodyProtocols", "CustodyScenario",
        "CustodyTestSupport",
        "CustodyTrace", "SimulationBackend",
    ],
    "CustodyFilesTests": ["CustodyFiles"],
    // The tool as a program, which is built beside the tests; and what its commands and its schemas say.
    "CustodyToolTests": [
        "Custody", "CustodyConfiguration", "CustodyMain", "CustodyOptions", "CustodyScenario", "CustodyTool",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
    ],
    "FuzzCorpusTests": ["FuzzTargets"],
    "CustodyTraceTests": [
        "Custody", "CustodyConfiguration", "CustodyPolicy", "CustodyScenario", "CustodyTestSupport", "CustodyTrace",
        "SimulationBackend",
    ],
    "CustodyTelemetryTests": [
        "Custody", "CustodyPolicy", "CustodyTelemetry", "SimulationBackend",
        .product(name: "InMemoryLogging", package: "swift-log"),
        .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "MetricsTestKit", package: "swift-metrics"),
        .product(name: "Tracing", package: "swift-distributed-tracing"),
    ],
    "CustodyProtocolsTests": ["CustodyProtocols"],
    "CustodyCheckerTests": [
        "CheckerDifferential", "Custody", "CustodyChecker", "CustodyConfiguration", "CustodyOptions", "CustodyPolicy",
        "CustodyProtocols",
        "CustodyScenario",
        "SimulationBackend",
    ],
    "SimulationBackendTests": ["Custody", "CustodyProtocols", "CustodyTestSupport", "SimulationBackend"],
    "LibvirtBackendTests": [
        "CHolders", "Custody", "CustodyConfiguration", "CustodyOptions", "CustodyPolicy", "CustodyTestSupport",
        "GuestChannel",
        .target(name: "LibvirtBackend", condition: libvirt), .target(name: "CLibvirt", condition: libvirt), system,
    ],
    "KVMBackendTests": [
        "CKVM", "Custody", "CustodyOptions", "CustodyPolicy", "CustodyTestSupport", "KVMBackend", system,
    ],
    "GuestChannelTests": [
        "CGuestChannel", "Custody", "CustodyPolicy", "CustodyTestSupport", "GuestChannel", "SimulationBackend",
    ],
    "EquivalenceTests": [
        "Custody", "CustodyPolicy", "CustodyScenario", "CustodyTestSupport", "KVMBackend", "SimulationBackend",
        .target(name: "LibvirtBackend", condition: libvirt),
    ],
]

// libFuzzer brings a main function of its own: Scripts/fuzz alone asks for this.
if Context.environment["CUSTODY_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "CustodyFuzz",
            dependencies: ["FuzzTargets"],
            path: "Tests/Fuzz/Main",
            swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer"])]
        )
    )
}

package.targets += tests.map { .testTarget(name: $0, dependencies: $1, swiftSettings: strict) }
