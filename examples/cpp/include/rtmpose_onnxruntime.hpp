// The artifact on ONNX Runtime. Included by rtmpose.hpp.
#pragma once

#include <filesystem>

namespace rtmpose::detail {

class OnnxRuntime final : public Engine {
public:
    OnnxRuntime(const std::string& file, int threads) : environment_(ORT_LOGGING_LEVEL_ERROR, "rtmpose") {
        Ort::SessionOptions options;
        if (threads > 0) options.SetIntraOpNumThreads(threads);
        options.AddConfigEntry("session.force_spinning_stop", "1");  // idle threads leave the cores to others
        session_ = Ort::Session(environment_, std::filesystem::path(file).c_str(), options);
        for (std::size_t i = 0; i < session_.GetOutputCount(); ++i)
            names_.emplace_back(session_.GetOutputNameAllocated(i, allocator_).get());
    }

    std::string metadata(const std::string& key) const override {
        const auto value =
            session_.GetModelMetadata().LookupCustomMetadataMapAllocated(key.c_str(), allocator_);
        return value ? value.get() : "";
    }

    void call(const std::uint8_t* bgr, std::size_t height, std::size_t width,
              const std::vector<Box>* boxes) override {
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        const std::int64_t picture[] = {static_cast<std::int64_t>(height), static_cast<std::int64_t>(width), 3};
        std::vector<Ort::Value> inputs;
        // Inputs are only read; the engine's own type has no const one.
        inputs.push_back(Ort::Value::CreateTensor<std::uint8_t>(memory, const_cast<std::uint8_t*>(bgr),
                                                                height * width * 3, picture, 3));
        std::vector<float> flat;
        if (boxes != nullptr) {
            for (const Box& box : *boxes) flat.insert(flat.end(), {box.x1, box.y1, box.x2, box.y2});
            flat.reserve(1);  // an address, also for nobody
            const std::int64_t shape[] = {static_cast<std::int64_t>(boxes->size()), 4};
            inputs.push_back(Ort::Value::CreateTensor<float>(memory, flat.data(), flat.size(), shape, 2));
        }
        const char* const given[] = {"image", "boxes"};
        std::vector<const char*> wanted;
        for (const std::string& name : names_) wanted.push_back(name.c_str());
        found_ = session_.Run(Ort::RunOptions{nullptr}, given, inputs.data(), inputs.size(), wanted.data(),
                              wanted.size());
    }

    Outputs outputs() override {
        Outputs outputs;
        for (std::size_t i = 0; i < found_.size(); ++i) {
            const auto info = found_[i].GetTensorTypeAndShapeInfo();
            const float* values = found_[i].GetTensorData<float>();
            Output& output = outputs[names_[i]];
            for (const std::int64_t size : info.GetShape()) output.shape.push_back(static_cast<std::size_t>(size));
            output.values.assign(values, values + info.GetElementCount());
        }
        return outputs;
    }

private:
    Ort::Env environment_;
    Ort::Session session_{nullptr};
    mutable Ort::AllocatorWithDefaultOptions allocator_;
    std::vector<std::string> names_;
    std::vector<Ort::Value> found_;
};

inline std::unique_ptr<Engine> open_engine(const std::string& file, int threads) {
    return std::make_unique<OnnxRuntime>(file, threads);
}

}  // namespace rtmpose::detail
