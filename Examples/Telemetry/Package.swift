// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "telemetry",
    dependencies: [
        // Outside of this repository: .package(url: "https://github.com/…/custody", from: "0.1.0")
        .package(name: "custody", path: "../.."),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    ],
    targets: [
        .executableTarget(
            name: "Telemetry",
            dependencies: [
                .product(name: "Custody", package: "custody"),
                .product(name: "CustodyPolicy", package: "custody"),
                .product(name: "CustodyTelemetry", package: "custody"),
                .product(name: "SimulationBackend", package: "custody"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
            ]
        )
    ]
)
