// The artifact on OpenVINO. Included by rtmpose.hpp.
#pragma once

namespace rtmpose::detail {

class OpenVino final : public Engine {
public:
    OpenVino(const std::string& file, int threads) {
        model_ = core_.read_model(file);
        ov::AnyMap settings{ov::hint::inference_precision(ov::element::f32)};
        if (threads > 0) settings.insert(ov::inference_num_threads(threads));
        request_ = core_.compile_model(model_, "CPU", settings).create_infer_request();
    }

    std::string metadata(const std::string& key) const override {
        if (!model_->has_rt_info("framework", key)) return "";
        return model_->get_rt_info<std::string>("framework", key);
    }

    void call(const std::uint8_t* bgr, std::size_t height, std::size_t width,
              const std::vector<Box>* boxes) override {
        // Inputs are only read; the engine's own type has no const one.
        request_.set_tensor("image", ov::Tensor(ov::element::u8, {height, width, 3}, const_cast<std::uint8_t*>(bgr)));
        if (boxes != nullptr) {
            ov::Tensor tensor(ov::element::f32, {boxes->size(), 4});
            if (!boxes->empty()) std::memcpy(tensor.data<float>(), boxes->data(), tensor.get_byte_size());
            request_.set_tensor("boxes", tensor);
        }
        request_.infer();
    }

    Outputs outputs() override {
        Outputs outputs;
        for (const auto& port : model_->outputs()) {
            const ov::Tensor tensor = request_.get_tensor(port.get_any_name());
            const float* values = tensor.get_size() == 0 ? nullptr : tensor.data<const float>();
            outputs[port.get_any_name()] = {tensor.get_shape(), {values, values + tensor.get_size()}};
        }
        return outputs;
    }

private:
    ov::Core core_;
    std::shared_ptr<ov::Model> model_;
    ov::InferRequest request_;
};

inline std::unique_ptr<Engine> open_engine(const std::string& file, int threads) {
    return std::make_unique<OpenVino>(file, threads);
}

}  // namespace rtmpose::detail
