// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "benchmarks",
    dependencies: [.package(name: "custody", path: "..")],
    targets: [
        .target(name: "CAllocations"),
        .target(
            name: "FlatMemory",
            dependencies: [.product(name: "Custody", package: "custody")],
            swiftSettings: [.enableUpcomingFeature("InternalImportsByDefault")]
        ),
        .executableTarget(
            name: "ConversionBenchmark",
            dependencies: [
                "CAllocations",
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyPolicy", package: "custody"),
                .product(name: "CustodyTrace", package: "custody"),
                .product(name: "SimulationBackend", package: "custody"),
            ]
        ),
        .executableTarget(
            name: "AccessBenchmark",
            dependencies: [
                "CAllocations", "FlatMemory",
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyPolicy", package: "custody"),
            ]
        ),
        .executableTarget(
            name: "ContentionBenchmark",
            dependencies: [
                "FlatMemory",
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyPolicy", package: "custody"),
                .product(name: "SimulationBackend", package: "custody"),
            ]
        ),
    ]
)
