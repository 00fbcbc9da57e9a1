/* Stands in for NVIDIA's driver (libcuda.so.1) on a machine without a card: notes what a kernel is launched with, and launches nothing. */
#include "cuda.h"
#include <string.h>

enum { MOST = 64 };
static int numbers, sizes[MOST];
static unsigned char noted[MOST][8];
static unsigned grid[3];
static CUfunction function;
static int launches;

/* How many bytes the parameters of the next launches have. */
void set_sizes(int count, const int *bytes) {
  numbers = count;
  memcpy(sizes, bytes, count * sizeof(int));
}

/* Of the last launch. Returns how many there were. */
int last_launch(unsigned char *parameters, unsigned *its_grid, unsigned long long *its_function) {
  memcpy(parameters, noted, sizeof noted);
  memcpy(its_grid, grid, sizeof grid);
  *its_function = (unsigned long long)function;
  return launches;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction launched, void **parameters, void **extra) {
  launches++;
  function = launched;
  grid[0] = config->gridDimX, grid[1] = config->gridDimY, grid[2] = config->gridDimZ;
  memset(noted, 0, sizeof noted);
  for (int i = 0; i < numbers; i++) memcpy(noted[i], parameters[i], sizes[i]);
  return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void *found, CUpointer_attribute attribute, CUdeviceptr pointer) {
  *(CUdeviceptr *)found = pointer;
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction *found, CUmodule module, const char *name) {
  static unsigned long long last = 16;
  *found = (CUfunction)(last += 16);
  return CUDA_SUCCESS;
}

/* What Triton asks for before that; the numbers are large enough for anything. */
static int context;
CUresult cuCtxGetCurrent(CUcontext *found) { return *found = (CUcontext)&context, CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext given) { return CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRetain(CUcontext *found, CUdevice device) { return *found = (CUcontext)&context, CUDA_SUCCESS; }
CUresult cuCtxGetLimit(size_t *found, CUlimit limit) { return *found = 1 << 20, CUDA_SUCCESS; }
CUresult cuCtxSetLimit(CUlimit limit, size_t value) { return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *found, int number) { return *found = number, CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *found, CUdevice_attribute attribute, CUdevice device) { return *found = 1 << 17, CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int *found) { return *found = 13000, CUDA_SUCCESS; }
CUresult cuGetErrorString(CUresult error, const char **found) { return *found = "error", CUDA_SUCCESS; }
CUresult cuModuleLoadData(CUmodule *found, const void *image) { return *found = (CUmodule)16, CUDA_SUCCESS; }
CUresult cuFuncSetAttribute(CUfunction given, CUfunction_attribute attribute, int value) { return CUDA_SUCCESS; }
CUresult cuFuncSetCacheConfig(CUfunction given, CUfunc_cache config) { return CUDA_SUCCESS; }
CUresult cuFuncGetAttribute(int *found, CUfunction_attribute attribute, CUfunction given) {
  return *found = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0, CUDA_SUCCESS;
}
